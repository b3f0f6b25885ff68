"""Model utility beside the original's, over the components on which the original knows anything at all.

A component counts if the lower end of the original's interval lies above chance, which ``chance`` defines. A role whose
tables name subsets gives the components of each subset: TOFU's nine are those of retain, real authors and world facts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from expunge.core.evidence import Estimate
from expunge.core.measure import Key
from expunge.evaluation.chance import Component, chance
from expunge.evaluation.contrast import Cast, Function
from expunge.evaluation.per_item import Unmeasured
from expunge.metrics.model_utility import COMPONENTS, model_utility

ROUNDING = 1e-9
LABELS = {
    "probability": "probability",
    "probability_options": "probability among options",
    "rouge_l": "ROUGE-L recall",
    "truth_score": "max(0, 1 - truth ratio)",
}


@dataclass(frozen=True)
class Components:
    """What utility is made of.

    Args:
        kept: (role, score).
        left_out: (label, why).
    """

    kept: tuple[Component, ...]
    left_out: tuple[tuple[str, str], ...]

    def plain(self) -> dict[str, Any]:
        """As the evidence file holds it."""
        return {
            "kept": [label(component) for component in self.kept],
            "left_out": [{"name": name, "why": why} for name, why in self.left_out],
        }


def label(component: Component) -> str:
    """A component as a reader sees it.

    >>> label(("general", "rouge_l")), label(("general/world_facts", "rouge_l"))
    ('general ROUGE-L recall', 'world facts ROUGE-L recall')
    """
    role = component[0].rpartition("/")[2].replace("_", " ")
    return f"{role} {LABELS[component[1]]}"


def components(cast: Cast) -> Components:
    """The components on which the original is above chance, and why the others are not among them."""
    kept: list[Component] = []
    left_out: list[tuple[str, str]] = []
    for component in [(part, name) for role, name in COMPONENTS for part in cast.items.parts(role)]:
        key: Key = ("original", *component)
        try:
            found = cast.estimate(_utility_of("original"), [key], (0.0, 1.0))
        except Unmeasured as reason:
            left_out.append((label(component), str(reason)))
            continue
        level, what = chance(cast, component)
        if found.low > level + ROUNDING:
            kept.append(component)
        else:
            why = (
                f"the original has {found.value:.3f} [{found.low:.3f}, {found.high:.3f}], chance is {level:.3f}: {what}"
            )
            left_out.append((label(component), why))
    return Components(tuple(kept), tuple(left_out))


def _utility_of(who: str) -> Function:
    """Model utility of one of the cast over whatever components are given of it; of one component, its mean."""

    def cast(data: Mapping[Key, Any]) -> dict[Key, Any]:
        return {("model", role, name): values for (model, role, name), values in data.items() if model == who}

    def function(scores: Mapping[Key, Any], weights: Mapping[Key, Any] | None = None) -> Any:
        return utility_of(cast(scores), None if weights is None else cast(weights))

    utility_of: Function = model_utility.function
    return function


def utility(cast: Cast, kept: tuple[Component, ...]) -> Estimate:
    """The judged model's utility.

    Raises:
        Unmeasured: no component is left, or the model lacks one.
    """
    return cast.estimate(model_utility, _keys("model", kept), (0.0, 1.0))


def utility_kept(cast: Cast, kept: tuple[Component, ...]) -> Estimate:
    """The share of the original's utility that the judged model kept.

    Raises:
        Unmeasured: no component is left, or the model lacks one.
    """

    def share(scores: Mapping[Key, Any], weights: Mapping[Key, Any] | None = None) -> Any:
        return ours(scores, weights) / theirs(scores, weights)

    ours, theirs = _utility_of("model"), _utility_of("original")
    keys = [*_keys("model", kept), *_keys("original", kept)]
    scores, _ = cast.scores(keys)
    return cast.estimate(share, keys, (0.0, 1.0 / float(theirs({key: v.mean(0) for key, v in scores.items()}))))


def _keys(who: str, kept: tuple[Component, ...]) -> list[Key]:
    if not kept:
        raise Unmeasured("no component is left on which the original is above chance")
    return [(who, *component) for component in kept]
