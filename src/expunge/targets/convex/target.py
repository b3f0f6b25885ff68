"""A convex model as a target: what it holds, what of that is secret, and how it is saved. Source: Guo et al. 2020."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from expunge.core.access import Access, Oracle
from expunge.core.canonical import digest, digest_file
from expunge.core.files import replace_folder, write_json
from expunge.core.manifest import Manifest, entry
from expunge.core.provenance import Convex
from expunge.targets.convex.budget import budget
from expunge.targets.convex.kept import arrays_digest, published, require_named_loss, secret, tensors, written
from expunge.targets.convex.model import ConvexModel
from expunge.targets.convex.scaled import Scaled

CARD, LOADER = "target.json", "convex"
COEF, SECRET, STATE = "coef.safetensors", "secret.safetensors", "secret.json"


@dataclass(frozen=True, eq=False)
class Published:
    """What anybody may see of a convex target.

    Args:
        coef: (d, k) parameters.
        classes: labels, sorted; None where numbers are told.
        scaled: how what is given becomes rows.
        features: of a frozen model, or None.
    """

    coef: NDArray[np.float64]
    classes: NDArray[Any] | None
    scaled: Scaled
    features: Any = None

    def scores(self, inputs: Any) -> NDArray[np.float64]:
        """Scores (n, k).

        Args:
            inputs: X (n, d), or texts where features are those of a language model.

        Raises:
            TargetError: they cannot be read, or the features' model changed.
        """
        given = inputs if self.features is None else self.features.rows(inputs)
        return self.scaled.rows(given, learned=False) @ self.coef

    def predict(self, inputs: Any) -> NDArray[Any]:
        """Labels (n,), or numbers; of equal scores the first class.

        Args:
            inputs: as of ``scores``.
        """
        found = self.scores(inputs)
        if self.classes is None:
            return found[:, 0]
        return self.classes[(found[:, 0] > 0).astype(np.intp) if found.shape[1] == 1 else found.argmax(axis=1)]


@dataclass(frozen=True, eq=False)
class ConvexTarget:
    """A ``ConvexModel`` with a salt. Its parameters are what may be published; rows, noise and Hessian are secret.

    Args:
        model: fitted.
        scaled: how what is given becomes rows.
        features: of a frozen model, that what is given goes through first: ``rows(inputs)``, ``spending`` of its
            account and ``described()`` for files; None for rows of numbers as they are.
        salt: hex; keeps the digest from telling who is in it.
        forgotten: records that were forgotten so far.
        features_units: units of the features' model among them, where that has an account.
    """

    model: ConvexModel
    scaled: Scaled = field(default_factory=Scaled)
    features: Any = None
    salt: str = ""
    forgotten: int = 0
    features_units: int = 0
    kind: Literal["learner"] = "learner"
    unlisted = (SECRET, STATE)
    """Files whose digests no certificate states: a guess at a record makes them anew."""

    @property
    def ids(self) -> Collection[str]:
        """Records that it holds."""
        return self.model.ids_

    @property
    def provenance(self) -> Convex:
        """Salted digest of the Hessian, standard deviation of the noise, and the budget e' of each head."""
        model = self.model
        limit = budget(model.sigma, model.epsilon / model.heads, model.delta / model.heads)
        return Convex(digest([self.salt, arrays_digest(secret(model))]), model.sigma, limit)

    @cached_property
    def _digest(self) -> str:
        parts = arrays_digest(published(self.model)), arrays_digest(secret(self.model))
        features = None if self.features is None else self.features.digest
        return digest([self.salt, *parts, {**self._state(), "features": features}])

    def digest(self) -> str:
        """Salted digest over parameters, secret state, settings and ids; not over where a features' model is."""
        return self._digest

    def _state(self) -> dict[str, Any]:
        told = None if self.features is None else self.features.described()
        counted = {"forgotten": self.forgotten, "features_units": self.features_units}
        prepared = {"scaled": TypeAdapter(Scaled).dump_python(self.scaled, mode="json"), "features": told}
        return {**written(self.model), **prepared, **counted}

    def forgetting(self, ids: Iterable[str]) -> ConvexTarget:
        """Without these records, of which those that are not held cost nothing; this one stays valid.

        Raises:
            ClaimError: the budget of private features is spent, or a subject of theirs would keep some records.
            TargetError: the model cannot be trained again on what is left.
        """
        there = self.model.ids_
        held = [name for name in dict.fromkeys(ids) if name in there]
        if not held:
            return self
        units = 0 if self.features is None else self.features.spending(self.features_units, held)
        return replace(
            self,
            model=self.model.unlearn(held),
            forgotten=self.forgotten + len(held),
            features_units=units,
        )

    @property
    def published(self) -> Published:
        """All that anybody else may see.

        Raises:
            TargetError: no record is held.
        """
        return Published(self.model.coef_, self.model._classes, self.scaled, self.features)

    def predict(self, inputs: Any) -> NDArray[Any]:
        """Labels (n,), or numbers.

        Args:
            inputs: X (n, d), or texts where features are those of a language model.
        """
        return self.published.predict(inputs)

    def oracle(self, access: Access) -> Oracle:
        """A handle on what is published, and nothing else of it."""
        return Oracle(self.published, access & Access.WEIGHTS)

    def save(self, path: Path) -> Manifest:
        """Write a folder, whole or not at all. Of what it holds, only ``coef.safetensors`` may be published.

        Raises:
            TargetError: a loss of the user's own.
            MissingExtra: without the extra ``hf``.
        """
        require_named_loss(self.model)
        path, state = Path(path), self._state()
        with replace_folder(path) as folder:
            save_file = tensors().save_file
            save_file({name: np.ascontiguousarray(W) for name, W in published(self.model).items()}, folder / COEF)
            save_file({name: np.ascontiguousarray(a) for name, a in secret(self.model).items()}, folder / SECRET)
            write_json(folder / STATE, {**state, "salt": self.salt})
            files = {name: digest_file(folder / name) for name in (COEF, SECRET, STATE)}
            card = {"kind": self.kind, "loader": LOADER, "digest": self.digest(), "provenance": "Convex"}
            write_json(folder / CARD, {**card, "secret": [SECRET, STATE], "files": files})
        files_of = sorted(p for p in path.rglob("*") if p.is_file())
        return Manifest(tuple(entry(path, p, personal=p.name != CARD) for p in files_of))

    def left(self) -> dict[str, str]:
        """File of the saved target -> why it still tells of records that were forgotten.

        Where a count looks at rows and noise, whether a request was answered by a step or by a training is not told,
        and so the worse of the two is.
        """
        if not self.forgotten:
            return {}
        by_step = self.model.certify_on != "worst" or any(ledger.requests for ledger in self.model.ledgers_)
        if not self.ids or not by_step:
            return {}
        return {
            SECRET: "the Hessian and the point where it was taken came of a training with the removed records, "
            "unless one was made since: which of both is not told, as it follows from rows and noise"
            if self.model.certify_on != "worst"
            else "the Hessian and the point where it was taken came of a training with the removed records",
            STATE: "how much of the budget each deletion spent, which follows from the removed rows",
        }
