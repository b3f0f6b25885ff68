"""Noisy fine-tuning of a language model from the first command to the last."""

from __future__ import annotations

import json

import pytest

from expunge.core.canonical import read_json
from expunge.testing.toy import toy_recipe

METHOD = "noisy_fine_tuning"
SHORT = ("--steps", "3", "--batch-size", "6", "--set", "repair_steps=2")


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A model that never saw a record, with the tokenizer and the shape of the world's."""
    folder = tmp_path_factory.mktemp("base") / "base"
    toy_recipe().start(seed=8).save(folder)
    return str(folder)


@pytest.mark.parametrize("mode", ["gradient", "model"])
def test_a_language_model_is_certified_and_verified(world, call, tmp_path, base, mode):
    out = tmp_path / "out"
    told = ("--set", "epsilon=3", "--set", "delta=1e-6", "--set", f"mode={mode}", "--set", f"centre={base}")
    said = call(*world.unlearn(out, *SHORT, *told, method=METHOD))
    assert said.code == 0, said.err
    assert "claims Certified (epsilon 3, delta 1e-06, against oblivious); expunge certify" in said.out
    assert "nothing is claimed" not in said.out
    said = call("certify", out, "--json")
    assert said.code == 0, said.err
    earned = said.json["earned"]["model"]
    assert earned == {"type": "Certified", "epsilon": "3.0", "delta": "1e-06", "adversary": "oblivious"}
    [proof] = said.json["certificate"]["artefacts"][0]["evidence"]
    assert proof["accountant"] == f"{mode}_clipping" and float(proof["epsilon"]) <= 3
    assert proof["after"] == read_json(out / "outcome.json")["after"] and proof["valid_until"] is None
    verified = call("verify", said.json["path"])
    assert verified.code == 0 and f"computed again by {mode}_clipping" in verified.out


def test_a_proof_whose_noise_was_raised_afterwards_earns_nothing(world, call, tmp_path):
    out = tmp_path / "out"
    assert call(*world.unlearn(out, *SHORT, method=METHOD)).code == 0
    card = read_json(out / "outcome.json")
    card["proof"]["numbers"] = [[n, repr(float(t) / 2) if n == "sigma" else t] for n, t in card["proof"]["numbers"]]
    (out / "outcome.json").write_text(json.dumps(card))
    assert "changed since it was written" in call("certify", out).words
    from expunge.workflow.single import write_manifest

    write_manifest(out)
    said = call("certify", out, "--json")
    assert said.code == 2, said.out
    assert "its numbers come to" in said.words


def test_noise_that_follows_from_the_seed_ends_unproven(world, call, tmp_path):
    out = tmp_path / "out"
    assert call(*world.unlearn(out, *SHORT, "--set", "randomness=seed", method=METHOD)).code == 0
    said = call("certify", out, "--json")
    earned = said.json["earned"]["model"]
    assert earned["type"] == "Unproven" and "follows from the seed" in earned["reason"]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--set", "epsilon=0"), "epsilon is 0"),
        (("--set", "centre=nowhere/at/all"), "no model at"),
        (("--set", r"trainable=.*mlp.*"), "Name the centre"),
        (("--set", "randomness=luck"), "'secret', 'seed' or 'secure'"),
        (("--forget-given", "1"), "must be given every record"),
        (("--wish", "refuse"), "cannot answer the wish"),
    ],
)
def test_what_does_not_hold_is_refused_and_leaves_nothing(world, refused, tmp_path, more, said):
    assert said in refused(2, *world.unlearn(tmp_path / "out", *more, method=METHOD))


def test_a_model_that_differs_outside_of_what_is_clipped_is_refused(world, refused, tmp_path, base):
    told = ("--set", f"centre={base}", "--set", r"trainable=.*mlp.*")
    assert "outside of what is clipped" in refused(2, *world.unlearn(tmp_path / "out", *told, method=METHOD))
