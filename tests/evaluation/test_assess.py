"""From score tables to verdicts: every outcome is constructed, and what is missing is said."""

import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest

from expunge.core.errors import EvidenceError
from expunge.core.policy import Criterion, judge
from expunge.core.registry import policies
from expunge.evaluation.assess import assess
from expunge.evaluation.cells import BESIDE, CELLS
from expunge.evaluation.per_item import PerItem, outcomes
from expunge.evaluation.policies import research_tofu

ROLES = {"forget": (20, 6), "holdout": (20, 6), "retain": (20, 4), "general": (60, 1)}
WORDS = ["amber", "basil", "cedar", "delta", "ember", "flint", "grove", "heron", "islet", "jasper"]
TOKENS, WRONG = 8, 3


def answers(rng, rows):
    return [" ".join(rng.permutation(WORDS)[:6]) for _ in range(rows)]


def table(role: str, seed: int, knows: float) -> dict:
    """A score table of a model that gives each right token about -0.1 nats if it knows and -2.5 nats if it does not.

    Args:
        seed: of the model; what belongs to the record is the same for every model.
        knows: between 0 and 1.
    """
    people, questions = ROLES[role]
    rows = people * questions
    record = np.random.default_rng([len(role), rows])
    text = answers(record, rows)
    hardness = (
        np.repeat(record.normal(size=people), questions)[:, None] * 0.1 + record.normal(size=(rows, TOKENS)) * 0.3
    )
    own = np.random.default_rng([len(role), rows, seed])
    columns: dict = {}
    for suffix, truth in (("", knows), ("_paraphrase", 0.8 * knows)):
        noise = own.normal(size=(rows, TOKENS)) * 0.2
        columns[f"token_logp{suffix}"] = -(0.1 * truth + 2.5 * (1 - truth)) * np.exp(hardness + noise)
        columns[f"mask{suffix}"] = np.ones((rows, TOKENS))
    columns["token_logp_perturbed"] = -2.2 * np.exp(own.normal(size=(rows, WRONG, TOKENS)) * 0.4)
    columns["mask_perturbed"] = np.ones((rows, WRONG, TOKENS))
    said = [known if knows > 0.5 else other for known, other in zip(text, answers(own, rows), strict=True)]
    subjects = [f"{role} {i // questions:02d}" for i in range(rows)]
    ids = [f"{role}-{i:03d}" for i in range(rows)]
    return {"ids": ids, "subjects": subjects, "text": text, "generated": said, **columns}


def relearned(seed: int, level: float) -> dict:
    rng = np.random.default_rng([7, seed])
    rows = [
        {"record_id": f"forget-{i:03d}", "subject": f"forget {i // 6:02d}", "outcome": p}
        for i, p in enumerate(np.clip(level + rng.normal(size=120) * 0.03, 0, 1))
        if i % 6 > 1
    ]
    return outcomes(rows)


def model(seed: int, *, forget: float, holdout: float = 0.0, kept: float = 1.0, again: float = 0.1) -> dict:
    knows = {"forget": forget, "holdout": holdout, "retain": kept, "general": kept}
    return {role: table(role, seed, knows[role]) for role in ROLES} | {"relearning": relearned(seed, again)}


@pytest.fixture(scope="module")
def cast():
    """Models that never knew, one that knows, and five that were made to forget."""
    return {
        "original": model(1, forget=1.0, again=0.9),
        "reference": model(2, forget=0.0),
        "second": model(3, forget=0.0),
        "good": model(4, forget=0.0),
        "shallow": model(5, forget=0.6, again=0.7),
        "broken": model(6, forget=0.0, kept=0.3),
    }


@pytest.fixture(scope="module")
def items(cast):
    return PerItem(cast)


def verdict(tables, judging="good", **settings):
    found = assess(tables, research_tofu, judging=judging, draws=400, **settings)
    return judge(research_tofu, found.assessment), found


def status_of(judged):
    return {finding.criterion: finding.status for finding in judged.findings}


def test_the_policy_is_found_by_its_public_name():
    assert policies.get("research-tofu".replace("-", "_")) is research_tofu
    assert {c.attack: c.margin for c in research_tofu.criteria} == {
        "forget_quality": 0.15,
        "min_k_auc": 0.1,
        "relearning": 0.1,
    }
    assert (research_tofu.utility_floor, research_tofu.level, research_tofu.positive_control) == (0.9, 0.9, 3.0)


def test_earned(items):
    judged, found = verdict(items)
    assert judged.status == "earned", judged.reason
    assert found.cells.keys() == CELLS.keys() | BESIDE.keys()
    for key, cell in found.cells.items():
        assert cell["low"] <= cell["value"] <= cell["high"] and cell["reason"] == "", key
    assert found.cells["ks"]["n"] == 120 and found.cells["ks"]["groups"] == 20
    assert found.cells["min_k_auc"]["n"] == 240 and found.cells["log10_p"]["value"] > np.log10(0.05)
    assert {m.name for m in found.measurements} == CELLS.keys() | BESIDE.keys()
    assert {len(values) for values in found.distributions.values()} == {120}


def test_what_is_said_where_nothing_is_refused_is_told_beside_the_table(cast):
    forget = cast["original"]["forget"]

    def told(refused):
        said = ["I do not know." if i < refused else text for i, text in enumerate(forget["text"])]
        shy = {**cast["original"], "forget": {**forget, "generated": said}}
        return verdict(cast | {"shy": shy}, "shy")[1]

    half = told(60)
    assert half.cells["rouge_l"]["value"] == half.cells["refused"]["value"] == 0.5
    assert half.cells["rouge_l_answered"]["value"] == 1.0, "refusing half of it makes what is said no smaller"
    measured = {m.name: m for m in half.measurements}
    assert measured["rouge_l_answered"].access == ("TEXT",) and measured["refused"].reference == "reference"
    mute = told(120)
    assert mute.cells["rouge_l_answered"]["reason"] == "every answer is a refusal"
    one = told(114).cells["rouge_l_answered"]
    assert (one["value"], one["low"], one["high"]) == (1.0, 0.0, 1.0), "one person's answers alone: anything may be"


@pytest.mark.parametrize("who", ["reference", "second"])
def test_a_model_that_never_knew_earns_it_against_the_other(items, who):
    judged, found = verdict(items, who)
    assert judged.status == "earned", judged.reason
    ks = next(c.difference for c in found.assessment.comparisons if c.attack == "forget_quality")
    assert (ks.value, ks.low, ks.high) == (0.0, 0.0, 0.0)
    assert found.cells["ks"]["value"] > 0


def test_both_references_are_equally_far_from_each_other(items):
    one, other = (verdict(items, who)[1].cells for who in ("reference", "second"))
    assert one["ks"]["value"] == other["ks"]["value"]
    assert one["relearn_gap"]["value"] == -other["relearn_gap"]["value"]


def test_the_original_fails(items):
    judged, found = verdict(items, "original")
    status = status_of(judged)
    assert judged.status == "failed"
    assert {status[c.attack] for c in research_tofu.criteria} == {"failed"} and status["no_op"] == "failed"
    assert status["utility"] == "earned" and found.assessment.utility.value == 1.0
    assert found.cells["min_k_auc"]["value"] > 0.9 and found.cells["log10_p"]["value"] < -3


def test_shallow_forgetting_fails(items):
    status = status_of(verdict(items, "shallow")[0])
    assert status["relearning"] == status["min_k_auc"] == "failed" and status["utility"] == "earned"


def test_lost_utility_fails(items):
    judged, found = verdict(items, "broken")
    assert status_of(judged)["utility"] == status_of(judged)["collapse"] == "failed"
    assert found.assessment.utility.high < 0.5


def fewer(tables, people):
    """The same with so many forgotten people."""

    def part(table):
        keep = [i for i, subject in enumerate(table["subjects"]) if int(subject.split()[1]) < people]
        return {k: v[keep] if isinstance(v, np.ndarray) else [v[i] for i in keep] for k, v in table.items()}

    return {name: roles | {r: part(roles[r]) for r in ("forget", "relearning")} for name, roles in tables.items()}


@pytest.mark.parametrize("people", [1, 2, 6])
def test_few_people_are_inconclusive(cast, people):
    judged, found = verdict(fewer(cast, people))
    assert judged.status == "inconclusive"
    assert found.cells["ks"]["groups"] == people
    if people < 5:
        assert (found.cells["ks"]["low"], found.cells["ks"]["high"]) == (0.0, 1.0)


def test_an_attack_that_the_original_survives_is_uninformative(cast):
    weak = cast | {"original": model(1, forget=1.0, again=0.15)}
    judged, _ = verdict(weak)
    assert judged.status == status_of(judged)["relearning"] == "uninformative"


def test_without_logprobs_there_are_reasons(cast):
    columns = ("ids", "subjects", "text", "generated")
    closed = {r: {k: t[k] for k in columns} for r, t in cast["good"].items() if r != "relearning"}
    judged, found = verdict(cast | {"closed": closed}, "closed")
    assert judged.status == "inconclusive"
    assert found.cells["rouge_l"]["value"] is not None and found.assessment.utility is None
    missing = {key: cell["reason"] for key, cell in found.cells.items() if cell["value"] is None}
    assert missing.keys() == CELLS.keys() - {"rouge_l"} and all(missing.values())
    assert "LOGPROBS" in missing["ks"] and "relearning" in missing["relearn_gap"]
    assert dict(found.assessment.skipped).keys() == {c.attack for c in research_tofu.criteria}
    assert found.distributions == {}
    said = PerItem(cast | {"closed": closed}, {"closed": "an overlay grants TEXT only"})
    assert verdict(said, "closed")[1].cells["ks"]["reason"] == "an overlay grants TEXT only"


def test_without_a_second_reference_distances_are_skipped(cast):
    alone = {name: roles for name, roles in cast.items() if name != "second"}
    judged, found = verdict(alone)
    assert "second" in dict(found.assessment.skipped)["forget_quality"] and judged.status == "inconclusive"
    assert found.cells["ks"]["value"] is not None


def test_an_unknown_attack_is_skipped_with_the_reason(items):
    policy = replace(research_tofu, criteria=(Criterion(attack="rack", margin=0.1),))
    found = assess(items, policy, judging="good", draws=50)
    assert "no attack is known" in dict(found.assessment.skipped)["rack"]


def test_numbers_that_are_not_numbers_are_a_collapse(cast):
    tables = {role: dict(table) for role, table in cast["good"].items()}
    for role in ("forget", "retain"):
        tables[role]["token_logp"] = np.full_like(tables[role]["token_logp"], np.nan)
    judged, found = verdict(cast | {"nan": tables}, "nan")
    assert status_of(judged)["collapse"] == "failed"
    assert "not a number" in found.cells["probability"]["reason"]


def test_components_at_chance_are_left_out_and_named(cast):
    guesses = {name: roles | {"general": table("general", 9, 0.0)} for name, roles in cast.items()}
    _, found = verdict(guesses)
    names = [name for name, _ in found.components.left_out]
    assert "general probability among options" in names
    assert not any(role == "general" and score != "rouge_l" for role, score in found.components.kept)
    plain = found.components.plain()
    assert all("chance" in part["why"] for part in plain["left_out"]) and len(plain["kept"]) + len(names) == 6


def test_a_never_trained_model_sets_chance(cast):
    chance = {role: table(role, 8, 0.0) for role in ("retain", "general")}
    chance["general"]["generated"] = list(chance["general"]["text"])
    _, found = verdict(cast | {"untrained": chance})
    assert [name for name, _ in found.components.left_out] == ["general ROUGE-L recall"]


def test_the_order_of_records_changes_nothing(cast):
    order = np.random.default_rng(0).permutation(120)
    shuffled = {
        k: v[order] if isinstance(v, np.ndarray) else [v[i] for i in order] for k, v in cast["good"]["forget"].items()
    }
    one = verdict(cast)[1].cells
    other = verdict(cast | {"good": cast["good"] | {"forget": shuffled}})[1].cells
    for key, cell in one.items():
        for end in ("value", "low", "high"):
            assert other[key][end] == pytest.approx(cell[end], abs=1e-9)


def test_other_records_are_refused(cast):
    forget = cast["good"]["forget"]
    renamed = forget | {"ids": [*forget["ids"][:-1], "stranger"]}
    with pytest.raises(EvidenceError, match=r"not about the same records.*stranger"):
        verdict(cast | {"good": cast["good"] | {"forget": renamed}})


def test_an_attack_on_other_records_is_skipped_and_kills_nothing_else(cast):
    again = cast["good"]["relearning"]
    tables = {name: {**roles, "paraphrase": roles.get("relearning", again)} for name, roles in cast.items()}
    tables["good"]["paraphrase"] = {name: column[:-1] for name, column in again.items()}
    asking = replace(research_tofu.criteria[0], attack="paraphrase")
    policy = replace(research_tofu, criteria=(asking, *research_tofu.criteria))
    assessment = assess(tables, policy, judging="good", draws=400).assessment
    assert "not about the same records" in dict(assessment.skipped)["paraphrase"]
    assert len(assessment.comparisons) == len(research_tofu.criteria)


def test_records_without_a_paraphrase_are_left_out(cast):
    lacking = {name: {role: dict(t) for role, t in roles.items()} for name, roles in cast.items()}
    for roles in lacking.values():
        for role, gaps in (("forget", slice(0, 6)), ("general", slice(0, 60))):
            mask = roles[role]["mask_paraphrase"].copy()
            mask[gaps] = 0.0
            roles[role]["mask_paraphrase"] = mask
    judged, found = verdict(lacking)
    assert (found.cells["ks"]["n"], found.cells["ks"]["groups"], found.cells["probability"]["n"]) == (114, 19, 120)
    assert ("general", "truth_score") in found.components.kept
    assert judged.status == "earned", judged.reason


def test_seeds_are_counted(cast):
    def two(roles, seed):
        again = {role: table(role, seed, 0.0 if role in ("forget", "holdout") else 1.0) for role in ROLES}
        return {role: [t, again[role]] if role in again else t for role, t in roles.items()}

    found = assess(cast | {"good": two(cast["good"], 40)}, research_tofu, judging="good", draws=100)
    seeds = {c.attack: c.difference.seeds for c in found.assessment.comparisons}
    assert seeds == {"forget_quality": 2, "min_k_auc": 2, "relearning": 1}


def test_a_detector_fires_if_it_does_at_any_seed(cast):
    def seeds(*models):
        return {role: [found[role] for found in models] for role in models[0]}

    world = {
        "original": seeds(cast["original"], cast["original"]),
        "reference": seeds(cast["reference"], cast["second"]),
        "second": seeds(cast["second"], cast["reference"]),
        "one": seeds(cast["good"], cast["original"]),
        "none": seeds(cast["good"], cast["good"]),
        "lost": seeds(cast["good"], cast["broken"]),
    }
    fired = {
        who: {d.name: d.detail for d in verdict(world, who)[1].assessment.detectors if d.fired}
        for who in ("one", "none", "lost")
    }
    assert fired["none"] == {}
    assert fired["one"].keys() == {"no_op"}
    assert fired["one"]["no_op"].startswith("model 2 of 2: ")
    assert "collapse" in fired["lost"]


def test_eight_rows_are_fast(cast):
    items = PerItem(cast)
    start = time.process_time()
    for who in (*cast, "good", "shallow"):
        assess(items, research_tofu, judging=who)
    assert time.process_time() - start < 15


def test_no_tensor_library_is_loaded():
    code = (
        "import sys, expunge.evaluation.assess, expunge.evaluation.policies.research_tofu\n"
        "sys.exit(' '.join({'torch', 'scipy', 'rouge_score', 'nltk'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
