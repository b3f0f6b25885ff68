"""Answer a deletion by accounting: what was trained with differential privacy hardly depended on the records.

Source: arXiv 2103.03279, section 2: (epsilon, delta)-differential privacy for m records is (epsilon, delta)-unlearning
of m records by doing nothing.

For records that were chosen without a look at the model, the weights as they are, and weights trained without those
records, are (epsilon(m), delta)-close; m counts all requests so far. The statement is ``oblivious``. What an adversary
holds is one release, the same before and after each request, so that requests teach nothing: later ones, whoever
chooses them, reveal no more about any other m records, those that stay included, than the first release did. But who
has seen the weights and then picks the records can pick by them, and given the pick the weights are no longer
distributed like a training without those records. Against that the loss of one fixed group says nothing, and nothing
is claimed.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from expunge.accounting.subsampled import Accounted
from expunge.core import provenance
from expunge.core.canonical import digest
from expunge.core.errors import ClaimError
from expunge.core.evidence import Proof
from expunge.core.guarantee import Certified, Guarantee
from expunge.core.outcome import Cost, Outcome
from expunge.core.provenance_check import require_kind, require_provenance
from expunge.core.selection import Selection
from expunge.targets.noisy.noise import DRAWN
from expunge.targets.private.account import Account

ADVERSARY: Literal["oblivious"] = "oblivious"


def proof_of(account: Account, found: Accounted, *, after: str) -> Proof:
    """The argument behind an account's epsilon, with what it rests on.

    Args:
        account: of a private target.
        found: what it comes to.
        after: digest of the target with that account.
    """
    mechanism, left = account.mechanism, account.left()
    return Proof(
        "poisson_gaussian",
        (
            "The records were named by somebody who had not seen the model, or did not choose by it.",
            "What is released is the weights; the account, which names who is in, stays with whoever trained.",
            DRAWN[mechanism.randomness],
            "Noise is drawn in float64, clipping in float32; their last bits are not accounted for.",
            "Settings, columns and labels are not from these records; one training was released, not the best of many.",
            "Of a model that was fine-tuned, only the fine-tuning is accounted for, not what its base was trained on.",
            "Neighbouring data has the records or has not; a copy under another id is another record.",
            "Counted is one training: a model that was trained on them before, or is trained anew afterwards, is a "
            "release of its own, and for whoever stood in several their epsilons and deltas add.",
        ),
        (
            ("clip", repr(mechanism.clip)),
            ("q", repr(mechanism.rate)),
            ("sigma", repr(mechanism.sigma)),
            ("steps", str(mechanism.steps)),
            ("units", str(account.spent)),
        ),
        epsilon=found.epsilon,
        delta=found.delta,
        adversary=ADVERSARY,
        after=after,
        units=account.spent,
        unit=mechanism.unit,
        valid_until=None if left is None else account.spent + left,
        retained=(
            f"protected as well, in this one training: any {found.records} of them at this epsilon and delta; what "
            "other trainings on them released adds to it"
        ),
    )


@dataclass(frozen=True)
class Private:
    """Leave the weights as they are, and take the forgotten units off the account.

    Records that the account does not hold cost nothing. A training whose randomness follows from its seed is refused:
    whoever knows or guesses the seed subtracts the noise.

    Args:
        name: public name.
        version: raised when the method changes.
    """

    name: str = "private"
    version: str = "1"

    needs = provenance.Private

    @property
    def claim(self) -> Guarantee:
        """The kind of claim, with the epsilon of deleting nothing; that of a request is in its outcome."""
        return Certified(0.0, 0.0, ADVERSARY)

    def digest(self) -> str:
        """Digest of the method."""
        return digest({"name": self.name, "version": self.version})

    def unlearn(self, target: Any, selection: Selection, *, seed: int, workdir: Path | None = None) -> Outcome[Any]:
        """Return the same weights with the account after the request.

        Args:
            target: a private one, which stays as it was.
            selection: what is forgotten; nothing else of it is read.
            seed: noted; nothing is drawn.
            workdir: not needed.

        Returns:
            A claim of epsilon for all units that were forgotten so far; with its proof.

        Raises:
            ClaimError: what ``check`` raises.
            EvidenceError: two accountants disagree.
        """
        since = time.perf_counter()
        self.check(target, selection, seed=seed, whole=False)
        after = target.with_account(target.account.forgetting(selection.forget.ids))
        found, proof = after.account.accounted(), self.prove(after)
        notes = {"accountant": f"{found.accountant}; by Renyi divergence {found.renyi:.6g}"}
        notes["weights_digest"] = target.weights_digest()
        return Outcome(
            target=after,
            before=target.digest(),
            method=f"{self.name}/{self.version}",
            recipe=self.digest(),
            claim=Certified(found.epsilon, found.delta, ADVERSARY),
            selection=selection,
            original=target,
            seed=seed,
            cost=Cost(seconds=time.perf_counter() - since, bytes_changed=0),
            proof=proof,
            notes=notes,
        )

    def prove(self, target: Any) -> Proof:
        """The proof of a target as it is, from its account.

        Raises:
            EvidenceError: two accountants disagree.
        """
        return proof_of(target.account, target.account.accounted(), after=target.digest())

    def check(self, target: Any, selection: Selection, *, seed: int, whole: bool = True) -> None:
        """Raise what ``unlearn`` would raise of a target or a request that does not fit.

        Raises:
            ClaimError: no private target; randomness that follows from a seed; a subject would keep some of its
                records; the limit is spent.
        """
        require_kind(self.name, ("classifier", "causal_lm"), target)
        require_provenance(self.name, self.needs, target)
        if target.account.mechanism.randomness == "seed":
            raise ClaimError(
                "nothing can be claimed of a training whose noise follows from its seed",
                why="whoever knows or guesses the seed subtracts the noise",
                next="Train it with randomness secret",
            )
        if whole:
            target.account.forgetting(selection.forget.ids)


private = Private()
