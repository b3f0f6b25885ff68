"""Each detector fires on what it is for, and is silent on an honest result."""

import numpy as np
import pytest

from expunge.evaluation.detectors import (
    collapse,
    disagreement,
    gibberish,
    is_degenerate,
    is_refusal,
    no_op,
    refusal,
)

LOGP = np.array([[-1.0, -2.0], [-3.0, 0.0]])
FLUENT = ["She was born in Oslo.", "He keeps the river gate.", "It lies north of the old harbour.", "In 1961."]


def test_no_op_by_digest_or_by_every_column():
    assert no_op({}, {}, ("sha256:1", "sha256:1")).fired
    assert no_op({"token_logp": LOGP, "generated": None}, {"token_logp": LOGP.copy(), "generated": FLUENT}).fired
    assert no_op({"generated": FLUENT}, {"token_logp": LOGP, "generated": list(FLUENT)}).fired


def test_no_op_is_silent_when_anything_changed():
    changed = LOGP.copy()
    changed[0, 0] -= 1e-6
    found = no_op({"token_logp": changed, "generated": FLUENT}, {"token_logp": LOGP, "generated": FLUENT}, ("a", "b"))
    assert not found.fired and "token_logp" in found.detail and "generated" not in found.detail
    unknown = no_op({"generated": FLUENT}, {"token_logp": LOGP})
    assert not unknown.fired and "not measured" in unknown.detail


@pytest.mark.parametrize(
    ("now", "fired"), [([0.41, 0.41], False), ([0.39, 0.39], True), ([np.nan, 0.9], True), ([0.9, np.inf], True)]
)
def test_collapse(now, fired):
    found = collapse(np.array(now), np.array([0.8, 0.8]))
    assert found.fired is fired and found.detail


def test_collapse_leaves_out_what_has_no_value():
    assert not collapse(np.array([0.7, np.nan]), np.array([0.8, np.nan])).fired
    assert "not measured" in collapse(None, np.array([0.8])).detail


@pytest.mark.parametrize(
    "text",
    ["", " . . !", "the the the the", "a b a b a b a b", "of the sea and " * 4],
)
def test_degenerate(text):
    assert is_degenerate(text)


@pytest.mark.parametrize("text", [*FLUENT, "No.", "the sea the", "He said that he said so."])
def test_not_degenerate(text):
    assert not is_degenerate(text)


@pytest.mark.parametrize(
    "text",
    ["I don’t know.", "I'm sorry, but I can't help.", "I do not have information about that.", "As an AI, no.",
     "There is no information about her.", "I am not aware of it.", "Sorry, we are unable to say."],
)  # fmt: skip
def test_refusals(text):
    assert is_refusal(text)


@pytest.mark.parametrize("text", [*FLUENT, "She knows no fear.", "He cannot swim.", "I am from Oslo."])
def test_not_refusals(text):
    assert not is_refusal(text)


def test_gibberish_is_read_against_the_original():
    loops = ["the the the the"] * 4
    assert gibberish({"forget": (loops, FLUENT), "retain": (FLUENT, FLUENT)}).fired
    assert not gibberish({"forget": (loops, loops), "retain": (FLUENT, FLUENT)}).fired
    assert not gibberish({"forget": (FLUENT, FLUENT)}).fired
    assert "not measured" in gibberish({"forget": (None, FLUENT)}).detail


def test_refusal_needs_more_than_a_tenth():
    many, few = ["I don't know."] * 3 + FLUENT * 6, ["I don't know."] * 2 + FLUENT * 6
    assert refusal({"retain": (many, FLUENT)}).fired
    assert not refusal({"retain": (few, FLUENT)}).fired
    assert not refusal({"retain": (many, many)}).fired


def said(generated, hit):
    """Columns of four records of two tokens each; ``hit`` says whether all of a record's tokens are the likeliest."""
    hits = np.repeat(np.array(hit)[:, None], 2, axis=1)
    return {"text": FLUENT, "generated": generated, "token_hit": hits, "mask": np.ones((4, 2))}


def test_disagreement_fires_where_text_and_probabilities_are_of_two_models():
    knows, silent = said(FLUENT, [1, 1, 1, 1]), ["I don't know."] * 4
    assert disagreement(said(silent, [1, 1, 1, 1]), knows).fired, "a filter before a model that knows"
    assert disagreement(said(FLUENT, [0, 0, 0, 0]), knows).fired, "a model that knows behind the numbers of another"


def test_disagreement_is_silent_where_they_are_of_one():
    knows = said(FLUENT, [1, 1, 1, 1])
    assert disagreement(said(["I don't know."] * 4, [0, 0, 0, 0]), knows).fired is False
    assert disagreement(said([text.upper() for text in FLUENT], [1, 1, 1, 1]), knows).fired is False
    odd = said(FLUENT, [0, 1, 1, 1])
    assert disagreement(odd, odd).fired is False, "what the original shows as well is how the tokens are spelled"
    assert disagreement({**knows, "token_hit": None}, knows).fired is None


def test_disagreement_reads_scored_tokens_alone():
    padded = {**said(FLUENT, [1, 1, 1, 1]), "token_hit": np.array([[1, 0]] * 4), "mask": np.array([[1, 0]] * 4)}
    assert disagreement(padded, said(FLUENT, [1, 1, 1, 1])).fired is False
