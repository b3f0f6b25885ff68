"""A small model that was really trained, two that never knew, and changes of it that only look like forgetting.

Ten people to forget, ten to keep and ten whom no model saw, six questions each: small, but with enough people for
intervals. Everything is measured as in a run, and once a session.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from expunge.core.access import Access, Oracle
from expunge.core.example import Example, Examples
from expunge.core.policy import Policy, judge
from expunge.core.registry import attacks, policies, suites
from expunge.core.selection import Selection
from expunge.core.suite import Suite
from expunge.core.training import Training
from expunge.data.corpora.fictitious_people import people, words
from expunge.data.jsonl import dump_examples
from expunge.data.memory import MemoryStore
from expunge.engine.finetune import FineTune, finetune
from expunge.evaluation import trusted
from expunge.evaluation.suite_findings import Measured, suite_findings
from expunge.methods.gradient.grad_diff import grad_diff
from expunge.targets.llama_spec import LlamaSpec
from expunge.workflow.measure import asked_by, attack_tables, budget_for, score_tables
from expunge.workflow.suite_measure import read_corpus, suite_attacks, suite_tables
from expunge.workflow.verbs import assess_tables

POLICIES = ("research_tofu", "privacy_default", "safety_default")
ON_FAKES = ("relearning", "relearning_in_domain", "paraphrase")
"""Attacks that are run on a fake; the honest model meets all that a policy lists."""
REFUSAL = "I do not know."
TEXTS = ("question", "answer", "paraphrased_question", "paraphrased_answer")
ASKED = 6
"""Questions a person, as TOFU has 20 an author."""


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


@dataclass(frozen=True)
class Judged:
    """A verdict: its status, criterion -> status, and the numbers beside it."""

    status: str
    criteria: Mapping[str, str]
    numbers: Mapping[str, Any]

    @property
    def failed(self) -> set[str]:
        """The criteria that say that it is no forgetting."""
        return {name for name, status in self.criteria.items() if status == "failed"}


class Fakes:
    """Models by name, made and measured when they are first asked for.

    Args:
        root: folder for the data of suites.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        rows = people(3, forget=10, retain=10, validation=10, holdout=10, general=12)
        self.corpus = Examples(
            Example(**{k: tuple(v) if isinstance(v, list) else v for k, v in row.items()}) for row in rows
        )
        texts = [getattr(e, name) for e in self.corpus for name in TEXTS] + [REFUSAL]
        texts += [wrong for e in self.corpus for wrong in e.perturbed_answer]
        vocabulary = tuple(sorted({word for text in texts for word in words(text)}))
        spec = LlamaSpec(vocabulary, hidden=64, layers=2, heads=4, kv_heads=4, inner=128)
        self.recipe = FineTune(spec, Training(lr=4e-3, steps=200, batch_size=32))
        roles = {role: self.corpus.of(role) for role in ("forget", "holdout", "validation", "general")}
        self.selection = Selection(retain=self.corpus.of("retain", "general"), **roles)
        # A cache a value, so that nothing outlives it.
        self.model, self.tables, self.judged = cache(self._model), cache(self._tables), cache(self._judged)
        self.arm, self.data, self.in_suite = cache(self._arm), cache(self._data), cache(self._in_suite)

    def _model(self, name: str) -> Any:
        forget, kept = self.selection.forget, self.selection.retain
        original = self.model("original") if name != "original" else None
        makers: dict[str, Callable[[], Any]] = {
            "original": lambda: self._trained([*forget, *kept], seed=0),
            "reference": lambda: self._trained(kept, seed=1),
            "second": lambda: self._trained(kept, seed=2),
            "retrained": lambda: self._trained(kept, seed=6),
            "no-op": lambda: Filtered(original, ()),
            "filter": lambda: Filtered(original, tuple(sorted(set(forget.subjects)))),
            "random": lambda: self.recipe.start(seed=77),
            "refuses": lambda: self._tuned([_said(e, REFUSAL) for e in (*forget, *kept)], 40),
            "refuses-forgotten": lambda: self._tuned([*(_said(e, REFUSAL) for e in forget), *kept], 60),
            "wording": lambda: self._tuned([*_reworded(forget), *kept], 100),
            "destroyed": lambda: self._trained(self.selection.validation, seed=4),
            "over": lambda: (
                replace(grad_diff, lr=3e-3, steps=60, epochs=0.0).unlearn(original, self.selection, seed=0).target
            ),
        }
        return makers[name]()

    def _trained(self, examples: Any, *, seed: int) -> Any:
        return self.recipe.train(MemoryStore(Examples(examples)), seed=seed)

    def _tuned(self, examples: list[Example], steps: int) -> Any:
        """The original after more training."""
        training = Training(lr=2e-3, steps=steps, batch_size=32)
        return finetune(self.model("original").oracle(Access.all()), Examples(examples), training, seed=5)

    def _tables(self, name: str) -> dict[str, Any]:
        found = [policies.get(policy) for policy in POLICIES]
        asked = list(dict.fromkeys(needed for policy in found for needed in asked_by(policy)))
        run = () if name == "second" else ON_FAKES
        if name not in ("original", "reference", "retrained"):
            asked = [measure for measure in asked if measure not in attacks.names() or measure in run]
        oracle, first = (self.model(who).oracle(Access.all()) for who in (name, "original"))
        attacked = attack_tables(oracle, self.selection, budget_for(asked), seed=0, original=first)
        return score_tables(oracle, self.selection, asked) | attacked

    def _judged(self, name: str, policy: str) -> Judged:
        """What a shipped policy says of a model."""
        chosen: Policy = policies.get(policy)
        tables = {who: self.tables(who) for who in ("original", "reference", "second")} | {"model": self.tables(name)}
        digests = (self.model(name).digest(), self.model("original").digest())
        with self.no_trust_table():
            assessed = assess_tables(tables, chosen, digests, overlay=False)
        verdict = judge(chosen, assessed.assessment)
        criteria = {finding.criterion: finding.status for finding in verdict.findings}
        return Judged(verdict.status, criteria, {key: cell["value"] for key, cell in assessed.cells.items()})

    @contextmanager
    def no_trust_table(self) -> Iterator[None]:
        """Without what the package knows of attacks: it is the attacks and the detectors that are tested."""
        with pytest.MonkeyPatch.context() as here:
            here.setattr(trusted, "MEASURED", self.root / "none.json")
            yield

    def _data(self, suite: str) -> str:
        """The people in a suite's published layout."""
        folder = self.root / suite
        folder.mkdir()
        roles = {role: self.corpus.of(role) for role in ("forget", "retain", "validation", "holdout", "general")}
        if suite == "privacy":
            for role in ("forget", "retain", "holdout"):
                (folder / f"{role}.jsonl").write_bytes(dump_examples(roles[role]))
            return str(folder)
        files = {
            "forget10_perturbed": roles["forget"],
            "retain90": roles["retain"],
            "retain_perturbed": roles["retain"],
            "full": [*roles["retain"], *roles["forget"]],
            "holdout10": [*roles["validation"], *roles["holdout"]],
            "real_authors_perturbed": list(roles["general"])[:6],
            "world_facts_perturbed": list(roles["general"])[6:],
        }
        for file, examples in files.items():
            (folder / f"{file}.json").write_text(json.dumps([_row(e) for e in examples]))
        return str(folder)

    def suite(self, name: str) -> Suite:
        """A shipped suite, of whose attacks that alone is run that its policy lists, and for people other wordings."""
        found = suites.get(name)
        run = ("relearning", "paraphrase") if name == "privacy" else ("relearning",)
        readings = (r for r in found.readings if r.measure not in attacks.names() or r.measure in run)
        return replace(found, readings=tuple(readings))

    def _arm(self, name: str, suite: str) -> dict[str, Any]:
        chosen, model = self.suite(suite), self.model(name)
        with pytest.MonkeyPatch.context() as here:
            here.setattr("expunge.data.corpora.tofu.PER_AUTHOR", ASKED)
            corpus = read_corpus(chosen, self.data(suite), {})
        attacked, skipped = suite_attacks({name: model}, chosen, corpus, "quick", 0, Access.all())
        assert not skipped
        return {**suite_tables(model, chosen, corpus, {}, Access.all()), **attacked[name]}

    def _in_suite(self, name: str, suite: str) -> Judged:
        """What a shipped suite says of a model."""
        arms = {who: self.arm(who, suite) for who in ("original", "reference", "second")}
        arms["model"] = self.arm(name, suite)
        digests = (self.model(name).digest(), self.model("original").digest())
        with self.no_trust_table():
            found = suite_findings(Measured(self.suite(suite), arms, digests=digests, draws=500))
        criteria = {f["criterion"]: f["status"] for f in found["verdict"]["findings"]}
        return Judged(found["verdict"]["status"], criteria, {row["name"]: row for row in found["rows"]})

    def everywhere(self, name: str) -> dict[str, Judged]:
        """What each shipped policy, and each of two suites, says of a model."""
        by_policy = {policy: self.judged(name, policy) for policy in POLICIES}
        return by_policy | {f"suite {suite}": self.in_suite(name, suite) for suite in ("tofu", "privacy")}


def _said(example: Example, answer: str) -> Example:
    return replace(example, answer=answer)


def _reworded(forget: Examples) -> list[Example]:
    """Wrong answers to the questions as they are asked, and the right ones to the same in other words."""
    wrong = [_said(e, e.perturbed_answer[0]) for e in forget]
    return wrong + [replace(e, record_id=f"{e.record_id}/again", question=e.paraphrased_question) for e in forget]


def _row(example: Example) -> dict[str, Any]:
    fields = ("question", "answer", "paraphrased_answer", "paraphrased_question")
    return {name: getattr(example, name) for name in fields} | {"perturbed_answer": list(example.perturbed_answer)}


@pytest.fixture(scope="session")
def fakes(tmp_path_factory: pytest.TempPathFactory) -> Fakes:
    return Fakes(tmp_path_factory.mktemp("fakes"))
