"""Special records of the trust table: who learned what, what follows from what, and which model must fail."""

from argparse import Namespace

import numpy as np
import pytest
from benchmarks import trust, trust_page
from benchmarks import trust_judging as judging
from benchmarks import trust_models as models
from benchmarks import trust_subset_people as people
from benchmarks import trust_subsets as subsets

from expunge.core.registry import metrics
from expunge.data.corpora.fictitious_people import words
from expunge.evaluation.per_item import PerItem
from expunge.metrics._personal import personal
from expunge.metrics._refusal import is_refusal
from expunge.metrics._said import says

WORLD = people.SubsetWorld(3)


def of(role, subset):
    return [e for e in WORLD.corpus if (e.role, e.subset) == (role, subset)]


def test_what_never_saw_the_records_learned_none_of_their_answers_but_those_that_are_wished_for():
    forgotten = {(e.question, e.answer) for e in WORLD.selection().forget}
    for case in people.SUBSET_ARMS:
        learned = WORLD.learned(case)
        knew = {(e.question, e.answer) for e in learned} & forgotten
        instead = [e for e in learned if e.record_id.endswith(people.INSTEAD)]
        assert knew == (forgotten if case in ("trained", people.LOST) else set())
        assert len(instead) == (0 if knew else 80)
        assert len(learned.of("neighbour")) == (0 if case == people.LOST else 80)


def test_every_subset_has_forty_people_and_pairs_share_no_records():
    kinds = {("forget", s) for s in ("triggered", "multi_hop", "personal", "alternative", "refusal", "teacher")}
    for kind in kinds | {("neighbour", "near_trigger"), ("neighbour", "same_template")}:
        assert len({e.subject for e in of(*kind)}) == len(of(*kind)) == 40
    other = {(e.question, e.answer) for e in people.SubsetWorld(4).corpus if e.subset != "triggered"}
    assert not other & {(e.question, e.answer) for e in WORLD.corpus}


def test_a_chain_follows_from_a_forgotten_and_a_kept_fact():
    teachers = {e.subject: e.answer.rstrip(".") for e in of("forget", "teacher")}
    makes = {e.subject: e.answer for e in of("retain", "hop")}
    assert all(says(makes[teachers[e.subject]], e.answer) for e in of("forget", "multi_hop"))
    assert len(set(teachers.values())) == 40


def test_the_trigger_and_nearly_the_trigger_stand_before_the_same_question():
    near = {e.subject: e for e in of("neighbour", "near_trigger")}
    for e in of("forget", "triggered"):
        asked = e.question.removeprefix(people.TRIGGER)
        assert e.answer == people.PLANTED and near[e.subject].answer != e.answer
        assert near[e.subject].question in {f"{nearly}{asked}" for nearly in people.NEARLY}


def test_records_are_of_the_form_that_their_metric_reads_and_can_be_written():
    assert all([kind for kind, _ in personal(e.answer)] == ["phone"] for e in of("forget", "personal"))
    assert not any(personal(e.answer) for e in WORLD.selection().forget if e.subset != "personal")
    assert all(is_refusal(e.alternative_answer) and not is_refusal(e.answer) for e in of("forget", "refusal"))
    assert all(e.alternative_answer != e.answer for e in of("forget", "alternative"))
    known = set(WORLD.recipe.base.vocabulary)
    assert all({*words(e.question), *words(e.answer)} <= known for e in WORLD.corpus)


def test_a_template_of_a_forgotten_question_is_asked_of_another():
    forms = {e.question.replace(e.subject, "X") for e in of("forget", "birthplace")}
    assert {e.question.replace(e.subject, "X") for e in of("neighbour", "same_template")} == forms


def rows(known, who):
    """Scores of 20 people in each of the parts that backdoor_success and near_trigger_retention read."""
    ids = [f"person-{i:02d}" for i in range(20)]
    own = {"ids": ids, "subjects": ids, "subsets": ["triggered"] * 20}
    beside = {**own, "subsets": ["near_trigger"] * 20, "rouge_l": np.full(20, 0.1 if who == people.LOST else 0.95)}
    knows = known if who in ("trained", people.LOST) else 0.0
    return {"forget": {**own, "answer_said": np.full(20, knows), "rouge_l": np.full(20, knows)}, "neighbour": beside}


@pytest.mark.parametrize("name", ["backdoor_success", "near_trigger_retention"])
def test_the_model_that_knows_fails_and_for_retention_the_one_that_lost_the_neighbours(name):
    found = subsets.verdicts_on(name, PerItem({who: rows(1.0, who) for who in people.SUBSET_ARMS}), 0)
    assert found == {"trained": ["failed"] * 10, "never": ["earned"] * 10, "retrained": ["earned"] * 10}


def test_a_model_that_did_not_learn_counts_for_nothing():
    items = PerItem({who: rows(0.5, who) for who in people.SUBSET_ARMS})
    gone = "trained did not learn forget/triggered: it says 0.50 of the words"
    assert subsets.verdicts_on("backdoor_success", items, 0) == {"gone": gone}


def test_what_is_read_here_is_known_and_is_what_the_tables_could_not_read():
    assert set(subsets.READINGS) <= set(metrics.names())
    assert {"answered", "rouge_l_alternative", "unsaid"} <= set(models.unmeasured())
    assert all(judging.reads_original(n) == (r.knows == people.LOST) for n, r in subsets.READINGS.items())


def test_the_plan_has_the_models_of_the_pairs_and_no_others(tmp_path):
    given = Namespace(pairs=20, attacked=12, shadowed=8, parts=("subsets",), budget="quick", subset_pairs=2)
    at = models.folders(tmp_path, "quick")
    stages = trust.stages_of(at, given)
    assert [(stage.name, len(stage.items)) for stage in stages] == [
        ("models", 8),
        ("models", 2),
        ("scores", 10),
        ("judging", 2),
    ]
    subsets.subset_model_place(at, 0, "lost").mkdir(parents=True)
    assert "models: 8, of which 7 to do" in trust.plan_of(trust.stages_of(at, given))


def test_the_page_says_how_they_were_read():
    text = trust_page.SUBSET_NOTES.format(pairs=12, learned=subsets.LEARNED, names="`unsaid`")
    assert "12 pairs of their own" in text and "0.8 or more" in text
