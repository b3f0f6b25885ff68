"""Any setting of a method can be given on the command line, by the name that a sweep prints; what cannot be is told."""

import json

import pytest

from expunge.core.canonical import read_json
from expunge.core.registry import methods


def test_a_setting_of_the_loss_is_set(world, call, tmp_path):
    said = call(*world.unlearn(tmp_path / "out", "--set", "beta=0.2", "--set", "retain_weight=2", "--steps", "2"))
    assert said.code == 0, said.err
    expected = methods.get("npo").with_settings({"beta": 0.2, "retain_weight": 2, "steps": 2})
    assert read_json(tmp_path / "out" / "outcome.json")["recipe"] == expected.digest()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["beta"], "--set cannot be 'beta'. it is not NAME=VALUE"),
        (["beta="], "it is not NAME=VALUE"),
        (["beta=1", "beta=2"], "the setting is given twice"),
        (["betta=1"], "unknown setting of npo 'betta'"),
        (["beta=much"], "beta cannot be much"),
        (["beta=nan"], "beta cannot be nan"),
    ],
)
def test_a_setting_that_cannot_be_is_refused(given, words, world, refused, tmp_path):
    more = [part for text in given for part in ("--set", text)]
    assert words in refused(2, *world.unlearn(tmp_path / "out", *more))


@pytest.mark.parametrize(
    ("method", "given", "words"),
    [
        ("npo", "micro_batch=-3", "micro_batch cannot be -3. Give 0 or a number above it"),
        ("npo", "weight_decay=-1", "weight_decay cannot be -1"),
        ("npo", "save_every=0", "save_every cannot be 0. Give at least 1"),
        ("npo", "beta=-1", "beta of npo cannot be -1. Give a number above 0"),
        ("calibrated_by_relation", "by_relation=0.5", "by_relation cannot be 0.5. Give true or false"),
        ("soul", "every=2.5", "every cannot be 2.5. Give a whole number"),
        ("npo_sam", "rho=-1", "rho"),
        ("rmu", "layer=9", "the model has layers 0 to"),
        ("ce_u", "ignore_first=abc", "ignore_first cannot be abc"),
    ],
)
def test_a_bad_setting_leaves_nothing_behind(method, given, words, world, refused, tmp_path):
    assert words in refused(2, *world.unlearn(tmp_path / "out", "--set", given, method=method))


def without(command, *roles):
    """A command that does not give these roles."""
    for role in roles:
        at = command.index(f"--{role}")
        command = [*command[:at], *command[at + 2 :]]
    return command


@pytest.mark.parametrize(
    ("method", "roles", "words"),
    [
        ("npo", ["retain"], "the retain set is empty"),
        ("layered_npo", ["retain"], "the retain set is empty"),
        ("influence_unlearning", ["retain"], "the retain set is empty"),
        ("kga", ["holdout", "validation"], "the never_seen set is empty"),
        ("calibrated_ascent", ["holdout", "validation"], "never seen"),
        ("dpo", [], "has no alternative answer"),
        ("retrain", [], "retrain needs the recipe"),
        ("statistics", [], "statistics works on learner"),
        ("purge", [], "purge works on datastore"),
    ],
)
def test_a_dry_run_fails_where_the_run_would(method, roles, words, world, refused, tmp_path):
    bare = [{k: v for k, v in e.items() if "altern" not in k} for e in records(world.root / "forget.jsonl")]
    (tmp_path / "forget.jsonl").write_text("".join(json.dumps(e) + "\n" for e in bare))
    files = {"forget": tmp_path / "forget.jsonl"} if method == "dpo" else {}
    command = without(world.unlearn(tmp_path / "out", method=method, **files), *roles)
    assert words in refused(2, *command, "--dry-run")


def records(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_every_other_method_passes_a_dry_run(world, call, tmp_path):
    for name in ("npo", "eul", "kga", "calibrated_by_novice", "rmu", "layered_npo", "influence_unlearning"):
        said = call(*world.unlearn(tmp_path / "out", "--dry-run", method=name))
        assert (said.code, said.err) == (0, ""), name
    assert not (tmp_path / "out").exists()


def test_a_run_that_changes_nothing_says_so(world, call, tmp_path):
    told = "nothing changed: the digest after is the digest before"
    said = call(*world.unlearn(tmp_path / "out", "--lr", "1e-30", "--steps", "2"))
    assert said.code == 0 and told in said.out.splitlines()
    assert read_json(tmp_path / "out" / "outcome.json")["notes"]["no_change"] == told
    said = call(*world.unlearn(tmp_path / "same", "--lr", "1e-30", "--steps", "2", "--json"))
    assert said.json["no_change"] is True
    said = call(*world.unlearn(tmp_path / "other", "--lr", "1e-3", "--steps", "2"))
    assert told not in said.out
    assert "no_change" not in read_json(tmp_path / "other" / "outcome.json")["notes"]


def test_a_larger_model_with_the_methods_own_learning_rate_is_warned_of(world, call, tmp_path, monkeypatch, caplog):
    def said(*more):
        caplog.clear()
        assert call(*world.unlearn(tmp_path / "out", "--dry-run", *more)).code == 0
        return caplog.text

    assert said() == ""
    monkeypatch.setattr("expunge.workflow.own_rate.SMALL", 10)
    assert "npo takes its own learning rate, 0.004, which was found on models below 10 parameters" in said()
    assert said("--lr", "0.00001") == ""


def test_the_default_method_is_npo(world, call, tmp_path):
    command = world.unlearn(tmp_path / "out", "--dry-run", "--json")
    place = command.index("--method")
    said = call(*command[:place], *command[place + 2 :])
    assert (said.code, said.json["method"]) == (0, "npo")
