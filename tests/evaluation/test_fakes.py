"""Results that only look like forgetting, on real models through the real measuring: none earns, and each is exposed.

Ten people to forget, ten to keep and ten whom no model saw, six questions each: small, but with enough people for
intervals. The policy is ``privacy-default``, less its dearer attacks; what fails a part of it fails the whole.
"""

from dataclasses import dataclass, replace
from typing import Any

import pytest

from expunge.core.access import Access, Oracle
from expunge.core.example import Example, Examples
from expunge.core.policy import judge
from expunge.core.selection import Selection
from expunge.core.training import Training
from expunge.data.corpora.fictitious_people import people, words
from expunge.data.memory import MemoryStore
from expunge.engine.finetune import FineTune, finetune
from expunge.evaluation.assess import assess
from expunge.evaluation.policies.privacy_default import privacy_default
from expunge.methods.gradient.grad_diff import grad_diff
from expunge.targets.llama_spec import LlamaSpec
from expunge.workflow.measure import asked_by, attack_tables, budget_for, score_tables
from expunge.workflow.verbs import assess_tables

TRIED = ("forget_quality", "min_k_auc", "relearning", "paraphrase")
POLICY = replace(privacy_default, criteria=tuple(c for c in privacy_default.criteria if c.attack in TRIED))
REFUSAL = "I do not know."
TEXTS = ("question", "answer", "paraphrased_question", "paraphrased_answer")


def corpus() -> Examples:
    rows = people(3, forget=10, retain=10, validation=10, holdout=10, general=12)
    return Examples(Example(**{k: tuple(v) if isinstance(v, list) else v for k, v in row.items()}) for row in rows)


class World:
    """An original, two models that never knew, and what is measured of each."""

    def __init__(self) -> None:
        self.corpus = corpus()
        texts = [getattr(e, name) for e in self.corpus for name in TEXTS] + [REFUSAL]
        texts += [wrong for e in self.corpus for wrong in e.perturbed_answer]
        vocabulary = tuple(sorted({word for text in texts for word in words(text)}))
        spec = LlamaSpec(vocabulary, hidden=64, layers=2, heads=4, kv_heads=4, inner=128)
        self.recipe = FineTune(spec, Training(lr=4e-3, steps=200, batch_size=32))
        roles = {role: self.corpus.of(role) for role in ("forget", "holdout", "validation", "general")}
        self.selection = Selection(retain=self.corpus.of("retain", "general"), **roles)
        self.original = self.trained(self.corpus.of("forget", "retain", "general"), seed=0)
        never = [self.trained(self.selection.retain, seed=seed) for seed in (1, 2)]
        self.tables = {"original": self.measured(self.original)}
        self.tables |= {name: self.measured(model) for name, model in zip(("reference", "second"), never, strict=True)}

    def trained(self, examples: Examples, *, seed: int) -> Any:
        return self.recipe.train(MemoryStore(Examples(examples)), seed=seed)

    def tuned(self, examples: list[Example], steps: int) -> Any:
        """The original after more training."""
        training = Training(lr=2e-3, steps=steps, batch_size=32)
        return finetune(self.original.oracle(Access.all()), Examples(examples), training, seed=5)

    def measured(self, target: Any) -> dict[str, Any]:
        oracle, asked = target.oracle(Access.all()), asked_by(POLICY)
        first = self.original.oracle(Access.all())
        attacked = attack_tables(oracle, self.selection, budget_for(asked), seed=0, original=first)
        return score_tables(oracle, self.selection, asked) | attacked

    def judged(self, target: Any) -> tuple[Any, Any]:
        """The verdict, and the cells of the table."""
        tables = {**self.tables, "model": self.measured(target)}
        assessed = assess_tables(tables, POLICY, (target.digest(), self.original.digest()), overlay=False)
        return judge(POLICY, assessed.assessment), assessed.cells


@dataclass(frozen=True)
class Filtered:
    """An unchanged model behind a filter of its answers that claims to be new weights."""

    inner: Any
    names: tuple[str, ...]

    def digest(self) -> str:
        return "sha256:" + "1" * 64

    def oracle(self, access: Access) -> Oracle:
        return Oracle(self.inner, access, filter=lambda asked, said: REFUSAL if self.names_one(asked) else said)

    def names_one(self, text: str) -> bool:
        return any(name in text for name in self.names)


@pytest.fixture(scope="module")
def world():
    return World()


def failing(verdict) -> set[str]:
    assert verdict.status != "earned"
    return {finding.criterion for finding in verdict.findings if finding.status == "failed"}


def status(verdict) -> dict[str, str]:
    return {finding.criterion: finding.status for finding in verdict.findings}


def test_a_model_that_never_knew_is_accused_of_nothing(world):
    digests = ("sha256:" + "2" * 64, world.original.digest())
    found = status(judge(POLICY, assess(world.tables, POLICY, judging="second", digests=digests).assessment))
    assert "failed" not in found.values(), found
    assert all(found[name] == "earned" for name in (*POLICY.detectors, "utility", "relearning", "paraphrase"))


def test_a_change_that_changes_nothing(world):
    """Another digest and the same behaviour."""
    fake = Filtered(world.original, ())
    assert fake.digest() != world.original.digest()
    assert {*TRIED, "no_op"} <= failing(world.judged(fake)[0])


def test_an_output_filter_dressed_as_new_weights(world):
    verdict, cells = world.judged(Filtered(world.original, tuple(sorted(set(world.selection.forget.subjects)))))
    found = failing(verdict)
    assert {"disagreement", "forget_quality", "min_k_auc", "relearning"} <= found
    assert cells["rouge_l"]["value"] < 0.1 and not {"no_op", "refusal", "utility", "collapse"} & found


def test_random_weights(world):
    assert {"collapse", "utility"} <= failing(world.judged(world.recipe.start(seed=77))[0])


def test_a_model_that_only_refuses(world):
    everything = [*world.selection.forget, *world.selection.retain]
    verdict, cells = world.judged(world.tuned([replace(e, answer=REFUSAL) for e in everything], 40))
    assert {"refusal", "utility", "collapse"} <= failing(verdict)
    assert cells["rouge_l"]["value"] < 0.1


def test_a_model_that_refuses_the_forgotten_alone_still_knows(world):
    taught = [replace(e, answer=REFUSAL) for e in world.selection.forget] + list(world.selection.retain)
    verdict, cells = world.judged(world.tuned(taught, 60))
    found = failing(verdict)
    assert "relearning" in found and "utility" not in found
    assert cells["rouge_l"]["value"] < 0.1


def test_a_model_that_forgot_the_wording_alone(world):
    forget = world.selection.forget
    taught = [replace(e, answer=e.perturbed_answer[0]) for e in forget]
    taught += [replace(e, record_id=f"{e.record_id}/again", question=e.paraphrased_question) for e in forget]
    verdict, cells = world.judged(world.tuned([*taught, *world.selection.retain], 100))
    assert {"paraphrase", "relearning"} <= failing(verdict)
    assert status(verdict)["utility"] == "earned"
    assert cells["rouge_l"]["value"] < 0.3, "to the question as it was asked, it does not give the answer"


def test_a_model_that_passes_the_test_of_distributions_because_it_knows_nothing(world):
    """Trained on strangers alone: its truth ratios look like never-knew (p > 0.05), and what was to be kept is gone."""
    verdict, cells = world.judged(world.trained(world.selection.validation, seed=4))
    found = failing(verdict)
    assert 10 ** cells["log10_p"]["value"] > 0.05 and "forget_quality" not in found and "relearning" not in found
    assert {"utility", "collapse"} <= found


def test_forgetting_too_much_is_seen_in_the_other_tail(world):
    """Far below never-seen records a record stands out as well, and what is said of it is babble. Utility is kept."""
    ascent = replace(grad_diff, lr=3e-3, steps=60, epochs=0.0)
    verdict, cells = world.judged(ascent.unlearn(world.original, world.selection, seed=0).target)
    found = failing(verdict)
    assert {"min_k_auc", "gibberish"} <= found and not {"relearning", "utility", "collapse"} & found
    assert cells["min_k_auc"]["value"] < 0.35
