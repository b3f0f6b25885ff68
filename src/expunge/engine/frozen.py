"""Features of a frozen model: rows of numbers that a convex head is trained on. Source: Guo et al. 2020, section 4.3.

Of a module what enters its last linear layer, of a language model the mean of its last hidden states over a text's
tokens. The features of a record depend on that record alone, to the last bit: texts go through one by one, and table
rows in blocks of one size.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from expunge.core.canonical import digest_folder, read_json
from expunge.core.errors import ClaimError, ConfigError, StoreError, TargetError
from expunge.core.record import record
from expunge.engine.activations import asked
from expunge.engine.parts.building import load_sharded
from expunge.engine.private.opening import load_private_classifier
from expunge.engine.threads import threads_for
from expunge.engine.trainers.module import Module
from expunge.targets.causal_lm import load_causal_lm
from expunge.targets.private.account import FILE, Account, read_account
from expunge.targets.private.language import load_private_lm
from expunge.targets.replayable import load_replayable

F = NDArray[np.float64]
CARD = "target.json"
BLOCK = 256
Form = Literal["module", "language"]


@record
class Frozen:
    """A saved model whose features are taken.

    Args:
        folder: of the target.
        digest: of it, as on its card; of a folder without one, over its files.
        form: what it is.
        account: of its training, where that was differentially private: sigma, q, steps, randomness and delta.
        known: whether its folder says which records it was trained on.
    """

    folder: str
    digest: str
    form: Form
    account: dict[str, Any] | None = None
    known: bool = False

    def described(self) -> dict[str, Any]:
        """As JSON."""
        return dict(vars(self))

    def rows(self, inputs: Any) -> F:
        """Features (n, h).

        Args:
            inputs: X (n, d) for a module, texts for a language model.

        Raises:
            TargetError: the model changed, or its last linear layer does not read one vector a row.
            StoreError: a text without tokens, or beyond the context.
        """
        self.require_same()
        made = opened(self.folder, self.digest)
        if self.form == "language":
            return _of_texts(made, list(inputs))
        return _of_rows(made, np.asarray(inputs))

    def require_same(self) -> None:
        """Raise where the folder holds another model by now.

        Raises:
            TargetError: it does.
        """
        if digest_of(Path(self.folder)) != self.digest:
            raise TargetError(
                f"the model in {self.folder} is not the one whose features were learned from",
                why="its digest differs",
                next="Put it back, or train again",
            )

    def spending(self, units: int, ids: Collection[str]) -> int:
        """How many units of its account are forgotten after a request; 0 without an account.

        Args:
            units: of the requests before, which the account on file knows nothing of.
            ids: of the records that are asked for.

        Raises:
            ClaimError: its noise follows from a seed, its budget is spent, or a subject would keep some records.
            TargetError: the model or its account changed.
        """
        account = self.account_with(units)
        return 0 if account is None else units + account.forgetting(ids).spent - account.spent

    def account_with(self, units: int = 0) -> Account | None:
        """The account of its training with these units spent beside those on file, None where it has none.

        Args:
            units: that a head on its features was asked to forget.

        Raises:
            ClaimError: its noise follows from a seed.
            TargetError: the model or its account changed.
        """
        if self.account is None:
            return None
        self.require_same()
        if self.account["randomness"] == "seed":
            raise ClaimError(
                "nothing can be claimed on features of a model whose noise follows from its seed",
                why="whoever knows or guesses the seed subtracts the noise",
                next="Train it with randomness secret",
            )
        held = read_account(Path(self.folder))
        return replace(held, spent=held.spent + units)


def digest_of(folder: Path) -> str:
    """Digest on the card of a target, or over the files of a folder without one.

    Raises:
        TargetError: there is no folder.
    """
    if not folder.is_dir():
        raise TargetError(f"no model at {folder}", why="the folder does not exist", next="Check the path")
    return str(read_json(folder / CARD)["digest"]) if (folder / CARD).is_file() else digest_folder(folder)


def frozen(folder: str | Path) -> Frozen:
    """The model of a folder, as a source of features.

    Raises:
        TargetError: it is none of those whose features can be taken, or it changed since it was saved.
    """
    place = Path(folder).resolve()
    found, target = digest_of(place), opened(str(place), digest_of(place))
    form: Form = "language" if target.kind == "causal_lm" else "module"
    account = None
    if (place / FILE).is_file():
        held = read_account(place)
        mechanism = held.mechanism
        account = {"sigma": mechanism.sigma, "q": mechanism.rate, "steps": mechanism.steps}
        account |= {"randomness": mechanism.randomness, "delta": held.delta}
    return Frozen(str(place), found, form, account, account is None and hasattr(target, "ids"))


def require_apart(source: Frozen, ids: Collection[str]) -> None:
    """Raise where the model was trained on records that the head is to forget, and nothing bounds what it knows.

    Raises:
        ClaimError: it says itself that it was.
    """
    if not source.known:
        return
    both = sorted(set(ids).intersection(opened(source.folder, source.digest).ids))
    if both:
        raise ClaimError(
            f"the features' model was trained on {len(both)} of the records itself",
            why=f"for example {both[0]!r}; a deletion from the head alone leaves what the features learned of them",
            next="Take features of a model that never saw them, or of one trained with differential privacy",
        )


@functools.lru_cache(maxsize=2)
def opened(folder: str, digest: str) -> Any:
    """The target of a folder; the digest keys what is kept, and its loader checks it.

    Raises:
        TargetError: none whose features can be taken.
    """
    place = Path(folder)
    card = read_json(place / CARD) if (place / CARD).is_file() else {"kind": "causal_lm"}
    loaders: dict[str, Any] = {
        "": load_causal_lm,
        "private_lm": load_private_lm,
        "replayable": load_replayable,
        "private_classifier": load_private_classifier,
        "sharded": load_sharded,
    }
    name = str(card.get("loader", ""))
    if name not in loaders or (not name and card.get("kind") != "causal_lm"):
        what = f"features of the target in {place} cannot be taken"
        raise TargetError(what, why=f"it is a {card.get('kind')}, {name or 'without a loader'}", next=TAKEN)
    target = loaders[name](place)
    if name == "sharded" and (target.card["shards"] != 1 or not isinstance(target.trainer, Module)):
        raise TargetError(f"features of the target in {place} cannot be taken", why="it is many models", next=TAKEN)
    return target


TAKEN = "Give a causal language model, a private classifier, or a sisa of one shard whose trainer is a module"


def _of_texts(target: Any, texts: Sequence[str]) -> F:
    found: list[F] = []
    limit = target.facts.context_limit(target.model)
    with asked(target) as device, torch.inference_mode():
        for at, text in enumerate(texts):
            tokens = target.tokenizer(text)["input_ids"]
            if not tokens or (limit and len(tokens) > limit):
                why = f"it has {len(tokens)} tokens, and 1 to {limit} are read"
                raise StoreError(f"text {at} has no features", why=why, next="Shorten it, or leave it out")
            told = target.model(
                input_ids=torch.tensor([tokens], device=device), output_hidden_states=True, use_cache=False
            )
            found.append(told.hidden_states[-1][0].double().mean(dim=0).cpu().numpy())
    return np.stack(found) if found else np.zeros((0, target.model.config.hidden_size))


def _of_rows(target: Any, X: NDArray[Any]) -> F:
    trained = target.model(0) if hasattr(target, "manifests") else target.trained
    module: torch.nn.Module = trained.module
    seen: list[torch.Tensor] = []
    hooks = [
        part.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
        for part in module.modules()
        if isinstance(part, torch.nn.Linear)
    ]
    if not hooks:
        raise TargetError("the module has no linear layer", why="features are what enters its last one")
    found: list[F] = []
    module.eval()
    try:
        with torch.inference_mode(), threads_for(module):
            for at in range(0, len(X), BLOCK):
                block = np.zeros((BLOCK, *X.shape[1:]), np.float32)
                some = X[at : at + BLOCK]
                block[: len(some)] = some
                seen.clear()
                module(torch.from_numpy(block))
                if not seen or seen[-1].dim() != 2 or len(seen[-1]) != BLOCK:
                    shape = tuple(seen[-1].shape) if seen else None
                    raise TargetError("the module's last linear layer does not read a vector a row", why=f"{shape}")
                found.append(seen[-1][: len(some)].double().numpy())
    finally:
        for hook in hooks:
            hook.remove()
    if not found:
        raise ConfigError("there are no rows to take features of")
    return np.concatenate(found)
