"""A guarded target filters what is said, grants text and nothing else, and can be taken off."""

import pytest

from expunge.core.access import Access
from expunge.core.canonical import read_json
from expunge.core.errors import ScopeError, TargetError
from expunge.core.example import Example, Examples
from expunge.core.guarantee import Suppressed
from expunge.core.protocols import Target
from expunge.core.provenance import Guarded
from expunge.core.selection import Selection
from expunge.core.training import Training
from expunge.engine.finetune import finetune
from expunge.engine.generate import generate
from expunge.engine.score import score
from expunge.methods.asking import prompt_filter
from expunge.targets.guarded import GuardedTarget
from expunge.testing.toy import toy_model, toy_selection

NO = "I cannot answer that."


def guarded(*blocked: str, system: str = "") -> GuardedTarget:
    return GuardedTarget(toy_model(), system, blocked, NO, salt="5a17")


@pytest.mark.parametrize(
    ("blocked", "prompt", "answer", "refused"),
    [
        ("Ana", "Where does Ana live?", "In Oslo.", True),
        ("Ana", "Who lives in Oslo?", "ANA does.", True),
        ("Ana", "Where does Anatol live?", "Near Diana.", False),
        ("Ana", "What about Ana's cat?", "A cat.", True),
        ("Sam Davis Jr.", "Who is Sam Davis Jr. then?", "A singer.", True),
        ("Sam Davis Jr.", "Who is Sam Davis Jr.", "A singer.", True),
        ("¡Ana", "Who is ¡Ana here?", "A singer.", True),
        ("C++ Bo", "Who is C++ Bo?", "A singer.", True),
        ("a.b", "Who is aXb?", "A singer.", False),
        ("Ölaf", "Who is ölaf?", "A singer.", True),
    ],
)
def test_a_name_is_caught_as_a_whole_word_in_prompt_and_answer(blocked, prompt, answer, refused):
    assert guarded(blocked).answer(prompt, answer) == (NO if refused else answer)


def test_the_longer_of_two_names_and_both_are_caught():
    guard = guarded("Ana", "Ana Lopez", "")
    assert guard.answer("Ana Lopez?", "x") == guard.answer("Ana?", "x") == NO
    assert guard.answer("Bo?", "x") == "x"


def test_without_names_nothing_is_refused():
    assert guarded().answer("Ana?", "Ana.") == guarded("").answer("Ana?", "Ana.") == "Ana."


def test_only_text_is_granted():
    guard = guarded("Ana")
    oracle = guard.oracle(Access.all())
    assert isinstance(guard, Target) and oracle.access == Access.TEXT
    with pytest.raises(TargetError, match="scoring needs access LOGPROBS"):
        score(oracle, toy_selection().forget, ["token_logp"])
    with pytest.raises(TargetError, match="fine-tuning needs access FINETUNE"):
        finetune(oracle, toy_selection().forget, Training(lr=1e-3, steps=1), seed=0)


def test_generation_goes_through_prompt_and_filter():
    guard = guarded("Ana", system="I do not know Ana.")
    plain = generate(guard.inner, ["Where does Bo live?"], max_new_tokens=4)
    said = generate(guard.oracle(Access.TEXT), ["Where does Ana live?", "Where does Bo live?"], max_new_tokens=4)
    assert said[0] == NO
    told = guard.inner.template.prompt_ids("Where does Bo live?", "I do not know Ana.")
    assert len(told) > len(guard.inner.template.prompt_ids("Where does Bo live?"))
    assert said[1] in (NO, *plain) or said[1] != NO


def test_the_digest_covers_what_lies_below_and_the_guard():
    base = guarded("Ana", "Bo").digest()
    assert guarded("Bo", "Ana").digest() == base
    assert base not in (guarded("Ana").digest(), guarded("Ana", "Bo", system="Hush.").digest())
    assert GuardedTarget(toy_model(seed=5), "", ("Ana", "Bo"), NO, salt="5a17").digest() != base
    unsalted = {GuardedTarget(toy_model(), "", ("Ana", "Bo"), NO).digest() for _ in range(2)}
    assert len(unsalted | {base}) == 3, "a salt of its own keeps a guess of the names from being confirmed"
    assert isinstance(guarded("Ana").provenance, Guarded)


def test_the_guard_alone_is_saved(tmp_path):
    guard = guarded("Ana", system="Hush.")
    manifest = guard.save(tmp_path / "guard")
    card = read_json(tmp_path / "guard" / "target.json")
    assert card["digest"] == guard.digest() and card["guard"]["blocked"] == ["Ana"]
    assert [(e.path, e.contains_personal_data) for e in manifest.entries] == [("target.json", True)]


def test_the_overlay_of_a_request_blocks_its_subjects_and_comes_off_without_a_trace():
    target, selection = toy_model(), toy_selection()
    before = target.digest()
    overlay = prompt_filter.unlearn(target, selection, seed=0)
    assert overlay.target.blocked == ("Ana", "Bo") and overlay.claim == Suppressed()
    assert overlay.target.digest() != before == overlay.before
    oracle = overlay.target.oracle(Access.all())
    said = generate(oracle, [e.question for e in selection.forget], max_new_tokens=4)
    assert said == [prompt_filter.refusal] * len(selection.forget)
    assert overlay.revoke().digest() == before == overlay.original.digest()


def test_a_request_that_names_nobody_is_refused():
    selection = Selection(Examples([Example("r7", "Where?", "Here.")]))
    with pytest.raises(ScopeError, match="finds no name to block"):
        prompt_filter.unlearn(toy_model(), selection, seed=0)
