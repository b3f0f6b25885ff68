"""Methods refuse what they cannot do before they change anything, and say truthfully what they did."""

from dataclasses import replace

import numpy as np
import pytest

from expunge.core.errors import ClaimError, ConfigError, ScopeError, StoreError, TargetError, UnknownName
from expunge.core.example import Example, Examples
from expunge.core.guarantee import Empirical, Exact, Suppressed
from expunge.core.objective import Loss, as_loss
from expunge.core.outcome import Outcome, Overlay
from expunge.core.provenance import Plain, Sharded, Statistics
from expunge.core.provenance_check import require_kind, require_provenance
from expunge.core.registry import methods
from expunge.core.request import Records, Request
from expunge.core.selection import Selection
from expunge.core.space import settings_of
from expunge.core.training import Stop
from expunge.data.memory import MemoryStore
from expunge.engine.score import score
from expunge.engine.spent import bytes_changed
from expunge.engine.train import train
from expunge.methods.asking import prompt_filter
from expunge.methods.exact import retrain, statistics
from expunge.methods.gradient import calibrated_ascent, dpo, grad_ascent, grad_diff_kl, idk_dpo, npo, simnpo
from expunge.methods.gradient._gradient import Gradient
from expunge.metrics import probability
from expunge.objectives import nll
from expunge.objectives import npo as prefer_not
from expunge.targets.guarded import GuardedTarget
from expunge.targets.learner import Learner, make
from expunge.testing.toy import FACTS, toy_model, toy_recipe, toy_selection, toy_store
from expunge.workflow.verbs import unlearn

GRADIENTS = [name for name in methods.names() if isinstance(methods.get(name), Gradient)]


def learner() -> Learner:
    """Which relation a question is about, from its letters."""
    records = toy_store().all()
    X = [[float(e.question.lower().count(letter)) for letter in "aeiouy"] for e in records]
    y = [[float(e.relation == relation) for relation in FACTS] for e in records]
    fitted = make("ridge", {"penalty": 2.0}).fit(X, y, ids=[e.record_id for e in records])
    return Learner(fitted, "5a17")


NOISY = dict.fromkeys(("descent_to_delete", "langevin", "one_shot_removal"), ("classifier",))


def targets():
    return {"causal_lm": toy_model(), "learner": learner(), "overlay": GuardedTarget(toy_model(), "", ("Ana",), "No.")}


@pytest.mark.parametrize("kind", ["causal_lm", "learner", "overlay"])
@pytest.mark.parametrize("name", methods.names())
def test_a_target_of_the_wrong_kind_is_refused_before_anything_changes(tmp_path, name, kind):
    method = methods.get(name)
    fits = {
        **NOISY,
        "purge": ("datastore",),
        "sisa": (),
        "adaptive_sisa": (),
        "statistics": ("learner",),
        "newton": ("learner",),
    }.get(name, ("causal_lm",))
    if name == "retrain":
        method = method.with_recipe(toy_recipe(steps=1))
    if kind in fits:
        return
    target = targets()[kind]
    before = target.digest()
    said = (
        rf"{name} works on .*{fits[0]}.*this target is a {kind}" if fits else f"{name} needs a target with provenance"
    )
    with pytest.raises(ClaimError, match=said):
        method.unlearn(target, toy_selection(), seed=0, workdir=tmp_path)
    assert target.digest() == before and not list(tmp_path.iterdir())


def test_a_target_that_lacks_the_provenance_is_told_what_it_lacks():
    target = toy_model()
    require_provenance("any", Plain, target)
    require_kind("any", ("causal_lm", "chat"), target)
    with pytest.raises(ClaimError, match=r"sisa needs a target with provenance Sharded\. this causal_lm has Plain"):
        require_provenance("sisa", Sharded, target)
    require_provenance("statistics", Statistics, learner())
    plain = learner()
    object.__setattr__(plain, "__class__", type("Opaque", (Learner,), {"provenance": Plain()}))
    with pytest.raises(ClaimError, match="needs a target with provenance Statistics"):
        statistics.unlearn(plain, toy_selection(), seed=0)


def test_an_empty_or_overlapping_selection_cannot_be_made():
    selection = toy_selection()
    with pytest.raises(ScopeError, match=r"forget set is empty.*matches no record"):
        Selection(Examples(), selection.retain)
    for role in ("retain", "holdout", "validation", "general", "neighbour"):
        with pytest.raises(ScopeError, match=f"forget and {role} overlap in 1 record.*ana-city"):
            Selection(selection.forget, **{role: Examples([selection.forget[0]])})
    twin = replace(selection.forget[0], record_id="other")
    with pytest.raises(ScopeError, match=r"overlap in 1 record\. for example other"):
        Selection(selection.forget, Examples([twin]))


@pytest.mark.parametrize("name", GRADIENTS)
def test_a_gradient_method_states_what_it_did(name):
    method = replace(methods.get(name), steps=3, batch_size=4, retain_batch_size=0)
    target, selection = toy_model(), toy_selection()
    outcome = method.unlearn(target, selection, seed=7)
    assert isinstance(outcome, Outcome) and outcome.original is target
    assert outcome.before == target.digest() != outcome.target.digest()
    assert (outcome.method, outcome.seed, outcome.cost.steps) == (f"{name}/{method.version}", 7, 3)
    assert outcome.recipe == method.digest() and outcome.selection is selection
    assert outcome.claim == Empirical("research-tofu") == method.claim
    assert outcome.cost.tokens > 0 and outcome.cost.seconds > 0 and outcome.replay is None
    assert outcome.cost.flops == 6 * target.parameters * outcome.cost.tokens, "the head is the embedding"
    assert outcome.cost.bytes_changed > 0 and outcome.cost.peak_bytes > 0 and outcome.cost.peak_of
    loss = method.loss if isinstance(method.loss, Loss) else Loss((method.loss,))
    assert list(outcome.notes["last"]) == [f"{i}:{t.objective}/{t.role}" for i, t in enumerate(loss.terms)]


def test_shipped_methods_forget_and_those_with_a_retain_term_keep():
    selection = toy_selection()
    target = toy_recipe(steps=80, hidden=32).train(MemoryStore(selection.retain + selection.forget), seed=0)

    def known(model, examples) -> float:
        return float(probability.of(score(model, examples, probability.needs)).mean())

    assert known(target, selection.forget) > 0.6
    kept = {}
    for method in (grad_ascent, npo):
        changed = replace(method, steps=40, lr=3e-3, batch_size=6, retain_batch_size=11).unlearn(
            target, selection, seed=0
        )
        assert known(changed.target, selection.forget) < 0.25
        kept[method.name] = known(changed.target, selection.retain)
    assert kept["npo"] > 0.5 > kept["grad_ascent"]


def test_an_early_stop_is_told_and_counted():
    method = Gradient(npo.loss, lr=1e-3, steps=50, stop=Stop("probability", "retain", at_least=0.0, every=2))
    outcome = method.unlearn(toy_model(), toy_selection(), seed=0)
    assert outcome.cost.steps == 2 and outcome.notes["stopped"].startswith("probability on retain reached")


def test_a_method_without_a_role_that_it_reads_is_refused():
    bare = Selection(toy_selection().forget)
    target = toy_model()
    with pytest.raises(ScopeError, match="the retain set is empty"):
        npo.unlearn(target, bare, seed=0)
    assert grad_ascent.unlearn(target, bare, seed=0).cost.steps == grad_ascent.steps


def test_a_loss_that_explodes_is_refused_and_the_target_stays():
    target = toy_model()
    before = target.digest()
    wild = Gradient(grad_ascent.loss * 1e30 * 1e30, lr=1e-3, steps=5, clip=0.0)
    with pytest.raises(TargetError, match="not a number at step"):
        wild.unlearn(target, toy_selection(), seed=0)
    assert target.digest() == before


def test_settings_are_checked_when_a_method_is_made_and_are_a_part_of_its_digest():
    with pytest.raises(ConfigError, match="either steps or epochs"):
        Gradient(npo.loss, lr=1e-3)
    with pytest.raises(ValueError, match="decay"):
        Gradient(npo.loss, lr=1e-3, steps=3, decay="sudden")  # pyright: ignore[reportArgumentType]
    term = Gradient(prefer_not.bind(beta=0.1), lr=1e-3, steps=3)
    assert term.digest() == Gradient(Loss((prefer_not.bind(beta=0.1),)), lr=1e-3, steps=3).digest()
    others = [
        Gradient(prefer_not.bind(beta=0.2), lr=1e-3, steps=3),
        Gradient(2 * prefer_not.bind(beta=0.1), lr=1e-3, steps=3),
        Gradient(prefer_not.bind(beta=0.1).on("retain"), lr=1e-3, steps=3),
        Gradient(prefer_not.bind(beta=0.1) + nll.bind(), lr=1e-3, steps=3),
        replace(term, betas=(0.8, 0.9)),
        replace(term, decay="linear"),
        replace(term, stop=Stop("probability", at_most=0.1)),
    ]
    assert len({method.digest() for method in (term, *others)}) == 8


def test_retraining_is_training_without_the_forgotten_records():
    recipe, store = toy_recipe(steps=5), toy_store()
    original = recipe.train(store, seed=0)
    selection = replace(toy_selection())
    outcome = retrain.with_recipe(recipe).unlearn(original, selection, seed=3)
    assert outcome.target.digest() == recipe.train(MemoryStore(selection.retain), seed=3).digest()
    assert outcome.claim == Exact("distribution") and outcome.replay is not None
    assert (outcome.replay.before, outcome.replay.after) == (original.digest(), outcome.target.digest())
    assert outcome.replay.data == MemoryStore(selection.retain).digest() and outcome.replay.equals == ""
    again = recipe.start(seed=3)
    report = train(again, as_loss(recipe.loss), {"retain": selection.retain}, recipe.training, seed=3)
    assert (outcome.cost.steps, outcome.cost.tokens) == (5, report.tokens) and outcome.cost.seconds > 0
    assert outcome.cost.flops == 6 * original.parameters * report.tokens
    assert outcome.cost.bytes_changed == bytes_changed(original.model, again.model) and outcome.cost.peak_bytes > 0
    with pytest.raises(ConfigError, match=r"retrain needs the recipe.*with_recipe"):
        retrain.unlearn(original, selection, seed=3)
    assert retrain.digest() != retrain.with_recipe(recipe).digest() != retrain.with_recipe(toy_recipe(steps=6)).digest()


def test_an_overlay_changes_nothing_and_claims_no_more_than_it_is():
    overlay = prompt_filter.unlearn(toy_model(), toy_selection(), seed=5)
    assert isinstance(overlay, Overlay) and overlay.claim == Suppressed() == prompt_filter.claim
    assert (overlay.method, overlay.seed, overlay.recipe) == ("prompt_filter/1", 5, prompt_filter.digest())


def test_the_verb_resolves_the_request_and_finds_the_method_by_name():
    store, target = toy_store(), toy_model()
    request = Request("user-1", Records("ana-city", "ana-pet"))
    result = unlearn(target, request, "prompt_filter", store)
    assert result.selection.forget.ids == ("ana-city", "ana-pet")
    with pytest.raises(UnknownName, match=r"unknown method 'nop'. Did you mean 'npo'"):
        unlearn(target, request, "nop", store)
    with pytest.raises(ScopeError, match=r"1 of 1 records of the scope are not in the data.*nobody"):
        unlearn(target, Request("user-1", Records("nobody")), "npo", store)


def test_calibrated_ascent_leaves_what_is_above_the_level_alone():
    target, selection = toy_model(), toy_selection()
    (rise, _) = calibrated_ascent.loss.terms
    calm = Gradient(rise.formula.bind(level=0.01), lr=1e-2, steps=3)
    assert calm.unlearn(target, selection, seed=0).target.digest() == target.digest()
    stirred = Gradient(rise.formula.bind(level=9.0), lr=1e-2, steps=3)
    assert stirred.unlearn(target, selection, seed=0).target.digest() != target.digest()


def test_examples_are_not_touched_by_a_run():
    selection = toy_selection()
    before = selection.digest()
    replace(npo, steps=2).unlearn(toy_model(), selection, seed=0)
    assert selection.digest() == before
    assert isinstance(selection.forget[0], Example)


def test_dpo_needs_other_answers_in_the_data_and_idk_dpo_brings_its_own():
    selection, target = toy_selection(), toy_model()
    bare = replace(selection, forget=Examples(replace(e, alternative_answer="") for e in selection.forget))
    before = target.digest()
    with pytest.raises(StoreError, match="record 'ana-city' has no alternative answer"):
        dpo.unlearn(target, bare, seed=0)
    short = replace(idk_dpo, steps=2, batch_size=6)
    outcome, same = (short.unlearn(target, s, seed=0) for s in (bare, selection))
    assert outcome.selection is bare and not any(e.alternative_answer for e in outcome.selection.forget)
    assert outcome.target.digest() == same.target.digest() != before == target.digest()
    assert replace(short, alternative="given").digest() != short.digest()


def test_the_other_answer_is_learned_in_place_of_the_forgotten_one():
    selection = toy_selection()
    target = toy_recipe(steps=80, hidden=32).train(MemoryStore(selection.retain + selection.forget), seed=0)
    instead = Examples(replace(e, answer="I do not know.") for e in selection.forget)

    def known(model, examples) -> float:
        return float(probability.of(score(model, examples, probability.needs)).mean())

    changed = replace(idk_dpo, steps=40, lr=3e-3, batch_size=6, retain_batch_size=11).unlearn(target, selection, seed=0)
    assert known(changed.target, selection.forget) < 0.7 * known(target, selection.forget)
    assert known(changed.target, instead) > 5 * known(target, instead)
    assert known(changed.target, selection.retain) > 0.5


def test_the_retain_terms_of_a_kl_method_hold_what_the_model_said():
    selection = toy_selection()
    target = toy_recipe(steps=80, hidden=32).train(MemoryStore(selection.retain + selection.forget), seed=0)
    found = {}
    for method in (grad_ascent, grad_diff_kl, simnpo):
        short = replace(method, steps=12, lr=3e-3, batch_size=6, retain_batch_size=11, warmup=0.0)
        changed = short.unlearn(target, selection, seed=0)
        gap = score(changed.target, selection.retain, ["token_logp"])["token_logp"]
        gap = gap - score(target, selection.retain, ["token_logp"])["token_logp"]
        found[method.name] = float(np.abs(gap).mean())
    assert found["grad_diff_kl"] < 0.5 * found["grad_ascent"]


@pytest.mark.parametrize("name", GRADIENTS)
def test_shipped_defaults_were_searched_and_lie_in_the_range(name):
    method = methods.get(name)
    assert method.tuned, "say what was tried"
    for setting, low, high in method.tuned:
        assert low <= settings_of(method)[setting] <= high, setting
