"""What is wished for reaches the method, the evidence and the certificate; evidence of another wish earns nothing."""

from dataclasses import replace

import pytest

import expunge
from expunge.core.errors import ClaimError, EvidenceError, ScopeError, UnknownName
from expunge.core.example import Examples
from expunge.core.policy import Criterion, judge
from expunge.core.registry import alternatives, methods, policies
from expunge.core.request import Records, Request
from expunge.core.wishes import WISHES, answering, require_answers
from expunge.data.corpora.neutral import NEUTRAL
from expunge.data.memory import MemoryStore
from expunge.engine.generate import generate
from expunge.methods.exact.retrain import retrain
from expunge.methods.gradient._gradient import Gradient
from expunge.methods.gradient._newton import Newton
from expunge.methods.gradient.npo import npo
from expunge.metrics._refusal import is_refusal
from expunge.objectives.nll import nll
from expunge.objectives.npo import npo as prefer_not
from expunge.testing.toy import toy_corpus, toy_recipe, toy_selection, toy_store
from expunge.workflow.requests import unlearn_batch
from expunge.workflow.verbs import evaluate, measure, policy_for, unlearn_selection

pytestmark = pytest.mark.slow

OTHERS = [wish for wish in WISHES if wish != "as_retrained"]
GRADIENTS = [name for name, method in methods.items() if isinstance(method, Gradient)]
NEWTON = [name for name, method in methods.items() if isinstance(method, Newton)]
SHORT = Gradient(
    prefer_not.bind(beta=0.3) + nll.bind().on("retain"), lr=1e-2, steps=40, batch_size=6, retain_batch_size=8
)


@pytest.fixture(scope="module")
def trained():
    corpus = toy_corpus()
    return toy_recipe(steps=120, hidden=32).train(MemoryStore(corpus.of("forget", "retain", "general")), seed=0)


@pytest.fixture(scope="module")
def never_knew():
    learned = MemoryStore(toy_corpus().of("retain", "general"))
    return [toy_recipe(steps=20).train(learned, seed=seed) for seed in (1, 2)]


def said(target):
    return generate(target, [e.question for e in toy_selection().forget], max_new_tokens=12)


@pytest.mark.parametrize("wish", WISHES)
def test_every_wish_has_a_policy_that_judges_it_and_a_source_of_answers(wish):
    policy = policies.get(WISHES[wish].policy.replace("-", "_"))
    assert (policy.wish, policy.name) == (wish, WISHES[wish].policy)
    assert not WISHES[wish].alternative or WISHES[wish].alternative in alternatives.names()


@pytest.mark.parametrize("wish", WISHES)
@pytest.mark.parametrize("name", GRADIENTS)
def test_every_gradient_method_can_be_set_to_every_wish_and_setting_it_twice_changes_nothing(name, wish):
    method = methods.get(name)
    once = answering(method, wish)
    assert answering(once, wish) == once
    if wish == "as_retrained":
        assert once is method
        return
    assert once.alternative == WISHES[wish].alternative and once.policy == WISHES[wish].policy
    assert any(n.answer for t in expunge.core.objective.as_loss(once.loss).terms for n in t.formula.needs)
    assert once.digest() != method.digest() and once.name == method.name


def test_a_method_that_teaches_nothing_is_refused(trained):
    with pytest.raises(ClaimError, match="prompt_filter cannot answer the wish neutral"):
        unlearn_selection(trained, toy_selection(), "prompt_filter", wish="neutral")
    with pytest.raises(ClaimError, match="statistics cannot answer the wish refuse"):
        answering(methods.get("statistics"), "refuse")
    for name in NEWTON:
        with pytest.raises(ClaimError, match=f"{name} cannot answer the wish refuse"):
            answering(methods.get(name), "refuse")
    with pytest.raises(UnknownName, match="Did you mean 'refuse'"):
        answering(npo, "refused")


def test_an_alternative_that_no_record_gives_is_refused_before_anything_is_trained(trained):
    forget = Examples(replace(e, alternative_answer="") for e in toy_selection().forget)
    with pytest.raises(ScopeError, match="6 of 6 records to forget have no alternative answer"):
        unlearn_selection(trained, replace(toy_selection(), forget=forget), SHORT, wish="alternative")
    require_answers(replace(toy_selection(), forget=forget), "refuse")


def test_neutral_answers_are_no_refusals():
    assert len(set(NEUTRAL)) == len(NEUTRAL) >= 20
    assert not any(map(is_refusal, NEUTRAL))


def test_what_is_wished_for_is_what_the_model_says(trained):
    assert not any(map(is_refusal, said(trained)))
    refusing = unlearn_selection(trained, toy_selection(), SHORT, wish="refuse").target
    assert all(map(is_refusal, said(refusing)))
    neutral = unlearn_selection(trained, toy_selection(), SHORT, wish="neutral").target
    assert set(said(neutral)) <= set(NEUTRAL)
    other = unlearn_selection(trained, toy_selection(), SHORT, wish="alternative").target
    assert said(other) == [e.alternative_answer for e in toy_selection().forget]


def test_retraining_for_a_wish_learns_what_is_wished_for_and_not_the_records(trained):
    method = answering(retrain.with_recipe(toy_recipe(steps=120, hidden=32)), "alternative")
    outcome = method.unlearn(trained, toy_selection(), seed=1)
    assert all(text.startswith("I do not know") for text in said(outcome.target))
    assert method.digest() != answering(method, "as_retrained").digest()


@pytest.fixture(scope="module")
def refusing(trained, never_knew):
    request = Request("user-1", Records(*toy_selection().forget.ids), basis="contract", wish="refuse")
    outcome = expunge.unlearn(trained, request, SHORT, toy_store(), seed=0)
    return request, outcome, evaluate(outcome, reference=never_knew[0], second=never_knew[1])


def test_refusals_are_read_against_the_wish_and_not_flagged(refusing):
    _, outcome, found = refusing
    assert outcome.wish == "refuse" and found.policy.name == "research-refuse"
    assert found.assessed.cells["answered"]["value"] == 0.0
    assert found.assessed.cells["refused_unseen"]["value"] is not None
    detectors = {d.name: d.fired for d in found.assessed.assessment.detectors}
    assert detectors["refusal"] is False and "refusal_on_forget" not in detectors
    comparisons = {c.attack: c for c in found.assessed.assessment.comparisons}
    assert comparisons["answered"].difference.value == 0.0 and comparisons["answered"].positive.value == 1.0
    assert {"answered", "rouge_l", "forget_quality", "relearning"} <= set(comparisons)


def test_a_policy_of_another_wish_is_refused(refusing, never_knew):
    request, outcome, found = refusing
    with pytest.raises(EvidenceError, match="research-tofu judges the wish as_retrained"):
        evaluate(outcome, policy="research-tofu", reference=never_knew[0])
    with pytest.raises(EvidenceError, match="Use research-tofu"):
        policy_for("as_retrained", "research-neutral")
    with pytest.raises(ClaimError, match="it was made for the wish refuse, not neutral"):
        expunge.certify(replace(request, wish="neutral"), outcome, found)
    with pytest.raises(ClaimError, match="judges the wish as_retrained"):
        expunge.certify(request, outcome, replace(found, policy=policies.get("research_tofu")))


def test_the_certificate_says_what_was_wished_and_what_it_was_read_against(refusing):
    request, outcome, found = refusing
    certificate = expunge.certify(request, outcome, found)
    said = "Wish: refuse (refuse to answer about them), read against a refusal of every question"
    assert said in str(certificate)
    assert any("a refusal is a sign" in sentence for sentence in certificate.not_claimed)
    assert certificate.claimed == expunge.core.guarantee.Empirical("research-refuse")


def test_refusing_everybody_or_evading_a_neutral_answer_is_caught(refusing):
    """The same tables, judged for the wish to stay neutral: the refusals on forget are an evasion there."""
    from expunge.evaluation.assess import assess
    from expunge.evaluation.per_item import PerItem

    _, _, found = refusing
    neutral = policies.get("research_neutral")
    judged = judge(neutral, assess(PerItem(found.tables), neutral, draws=100).assessment)
    assert {f.criterion: f.status for f in judged.findings}["refusal_on_forget"] == "failed"
    everywhere = {name: dict(roles) for name, roles in found.tables.items()}
    everywhere["model"]["general"] = {**everywhere["model"]["general"], "generated": ["I do not know."] * 2}
    over = judge(found.policy, assess(PerItem(everywhere), found.policy, draws=100).assessment)
    assert {f.criterion: f.status for f in over.findings}["refusal"] == "failed"


def test_a_model_that_knows_fails_the_criterion_of_the_wish(refusing):
    from expunge.evaluation.assess import assess
    from expunge.evaluation.per_item import PerItem

    _, _, found = refusing
    policy = replace(found.policy, criteria=(Criterion("answered", 0.1), Criterion("unsaid", 0.1)))
    tables = {**found.tables, "model": found.tables["original"]}
    assessment = assess(PerItem(tables), policy, draws=100).assessment
    assert {c.attack: c.difference.value for c in assessment.comparisons} == {"answered": 1.0}
    assert dict(assessment.skipped).keys() == {"unsaid"}


def test_a_batch_has_one_wish(trained):
    one, two = (Request(f"user-{i}", Records(f"{who}-city")) for i, who in enumerate(("ana", "bo")))
    with pytest.raises(expunge.core.errors.RequestError, match="wish for different things"):
        unlearn_batch(trained, [one, replace(two, wish="refuse")], SHORT, toy_store())


@pytest.fixture(scope="module")
def fluent():
    """Two models that never knew and answer all the same."""
    recipe, learned = toy_recipe(steps=100, hidden=32), MemoryStore(toy_corpus().of("retain", "general"))
    return recipe, [recipe.train(learned, seed=seed) for seed in (1, 2)]


@pytest.mark.parametrize("wish", ["refuse", "neutral"])
def test_one_retrained_to_answer_as_wished_is_not_failed_for_knowing_too_little(trained, fluent, wish):
    from expunge.evaluation.assess import assess
    from expunge.evaluation.per_item import PerItem

    recipe, (reference, second) = fluent
    done = unlearn_selection(trained, toy_selection(), retrain.with_recipe(recipe), seed=3, wish=wish)
    policy = policy_for(wish)
    tables = measure(done, policy, reference=reference, second=second)
    # Each record a subject, so that there are enough for an interval.
    apart = {name: {r: t | {"subjects": t["ids"]} for r, t in found.items()} for name, found in tables.items()}
    assessment = assess(PerItem(apart), policy, draws=200).assessment
    said = next(c.difference for c in assessment.comparisons if c.attack == "rouge_l")
    assert said.low < -0.1 and said.high < 0.1
    found = {f.criterion: f.status for f in judge(policy, assessment).findings}
    assert found["rouge_l"] == "earned"
    assert {found[c.attack] for c in policy.criteria} <= {"earned", "inconclusive", "uninformative"}


def test_refusals_of_never_seen_people_are_read_off_never_seen_people(refusing):
    from expunge.evaluation.assess import assess
    from expunge.evaluation.per_item import PerItem

    _, _, found = refusing
    for words, share in (("In Oslo.", 0.0), ("I do not know.", 1.0)):
        tables = {name: dict(roles) for name, roles in found.tables.items()}
        unseen = tables["model"]["holdout"]
        tables["model"]["holdout"] = {**unseen, "generated": [words] * len(unseen["ids"])}
        cells = assess(PerItem(tables), found.policy, draws=100).cells
        assert cells["refused_unseen"]["value"] == share and cells["answered"]["value"] == 0.0
