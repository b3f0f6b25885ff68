"""A sweep ends with the same bytes however it is run, does nothing twice, and looks at the reported people once."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from expunge.core.canonical import read_json
from expunge.core.errors import ConfigError, EvidenceError, ScopeError, TargetError, UnknownName
from expunge.core.example import Examples
from expunge.core.registry import methods
from expunge.data.jsonl import dump_examples
from expunge.data.memory import MemoryStore
from expunge.execution.pool import Pool
from expunge.testing.toy import toy_corpus, toy_recipe
from expunge.workflow import sweep as verb
from expunge.workflow.sweep_plan import make_plan
from expunge.workflow.sweep_spec import Spec
from expunge.workflow.sweep_told import plan_text, told
from expunge.workflow.sweep_trial import reported as reported_trial
from expunge.workflow.sweep_trial import tried
from expunge.workflow.sweep_world import World, part_of

pytestmark = pytest.mark.slow

SPACE = {"npo": {"beta": (0.1, 0.9), "steps": (2, 4)}, "grad_ascent": {"lr": (1e-4, 1e-2), "steps": (2, 4)}}
START = {"npo": {"steps": 4}, "grad_ascent": {"steps": 6}}
LIMIT = 300.0


def spec():
    return Spec(("npo", "grad_ascent"), trials=2, seeds=(0, 1), start=START, space=SPACE, draws=100)


@dataclass(frozen=True)
class Swept:
    """A finished sweep, and what stood in its folder when the reported people were opened."""

    out: Path
    result: dict
    before: dict[str, str]
    items: list[tuple[str, dict]]


@pytest.fixture(scope="module")
def toy_world(tmp_path_factory):
    root = tmp_path_factory.mktemp("world")
    corpus, recipe = toy_corpus(), toy_recipe(steps=30, layers=1)
    (root / "corpus.jsonl").write_bytes(dump_examples(corpus))
    learned = {"original": corpus.of("forget", "retain", "general"), "retrained": corpus.of("retain", "general")}
    learned["second_reference"] = learned["retrained"]
    for seed, (name, examples) in enumerate(learned.items()):
        recipe.train(MemoryStore(Examples(examples)), seed=seed).save(root / name)
    return World.of_run(root)


def watched(patch, *, here=False):
    """Note every item that is computed from here on; compute it in this process, if asked."""
    items: list[tuple[str, dict]] = []
    plain = verb.map

    def noted(function, given, **more):
        items.extend((function.__name__, item) for item in given)
        return [function(item) for item in given] if here else plain(function, given, **more)

    patch.setattr(verb, "map", noted)
    return items


@pytest.fixture(scope="module")
def swept(toy_world, tmp_path_factory):
    out, before = tmp_path_factory.mktemp("swept") / "two", {}

    def opened(folder, plan):
        before.update((str(path), path.read_text()) for path in Path(folder).rglob("*.json"))
        plain(folder, plan)

    plain = verb.open_reported
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(verb, "open_reported", opened)
        items = watched(patch)
        result = verb.sweep(out, toy_world, spec(), pool=Pool(workers=2))
    return Swept(out, result, before, items)


def files(out):
    """Every byte of a sweep but the times."""
    found = {p.relative_to(out).as_posix(): p.read_bytes() for p in out.rglob("*") if p.is_file()}
    return {name: data for name, data in found.items() if not name.startswith(".times/")}


def test_each_trial_and_each_run_was_computed_once_within_the_budget(swept):
    done = [
        (what, item.get("method"), item.get("number"), item["seed"]) for what, item in swept.items if "seed" in item
    ]
    rows = swept.result["rows"][3:]
    assert len(done) == len(set(done)) == sum(row["trials"] for row in rows) + 4
    for row in rows:
        cards = [read_json(p) for p in (swept.out / "trials").glob("*.json")]
        own = [card["tokens"] for card in cards if card["method"] == row["key"]]
        assert row["trials"] == len(own) and row["tokens"] == sum(own) <= swept.result["budget_tokens"]
        assert row["tokens"] + max(own) > swept.result["budget_tokens"], "the budget of the costliest is spent by all"
    costliest, cheaper = rows
    assert costliest["tokens"] == swept.result["budget_tokens"] and costliest["trials"] == 2 < cheaper["trials"]


def test_reported_people_are_not_measured_before_they_are_opened(swept, toy_world):
    plan = make_plan(toy_world, spec(), threads=1)
    chosen, reported = (part_of(plan.selection, plan.parts[part]) for part in ("validation", "reported"))
    assert swept.before and not any(name.endswith("opened.json") for name in swept.before)
    text = "\n".join(swept.before.values())
    assert all(f'"{record_id}"' in text for record_id in chosen.forget.ids)
    for role in ("forget", "holdout", "retain", "general"):
        assert not any(f'"{record_id}"' in text for record_id in reported.role(role).ids), role
    for card in (json.loads(text) for name, text in swept.before.items() if "/trials/" in name):
        assert card["cells"]["probability"]["n"] == len(chosen.forget)
    row = swept.result["rows"][3]
    assert row["cells"]["probability"]["n"] == len(reported.forget)


def test_a_finished_sweep_is_found_again_and_a_lost_part_is_done_again(swept, toy_world, tmp_path, monkeypatch):
    out = tmp_path / "again"
    shutil.copytree(swept.out, out)
    items = watched(monkeypatch, here=True)
    assert verb.sweep(out, toy_world, spec()) == swept.result
    assert items == []
    lost = next(p for p in sorted((out / "trials").glob("*.json")) if not (out / "models" / p.stem).exists())
    lost.unlink()
    (out / "sweep.json").unlink()
    assert verb.sweep(out, toy_world, spec()) == swept.result
    assert [(what, item["key"]) for what, item in items] == [("tried", lost.stem)]
    assert files(out) == files(swept.out)


def test_another_spec_is_refused_once_reported_people_were_opened(swept, toy_world, tmp_path):
    out = tmp_path / "again"
    shutil.copytree(swept.out, out)
    other = replace(spec(), floor=0.5)
    with pytest.raises(ConfigError, match="were opened under another plan") as refused:
        verb.sweep(out, toy_world, other)
    assert "spec" in str(refused.value) and "code" not in str(refused.value).partition("changed")[0]
    assert files(out) == files(swept.out)


@pytest.mark.parametrize("what", ["a default of a method", "the code", "the threads"])
def test_what_changes_numbers_is_refused_once_reported_people_were_opened(
    what, swept, toy_world, tmp_path, monkeypatch
):
    out, pool = tmp_path / "again", None
    shutil.copytree(swept.out, out)
    items = watched(monkeypatch)
    if what == "a default of a method":
        default, plain = methods.get("npo"), type(methods).get
        changed = replace(default, lr=1.1 * default.lr)
        monkeypatch.setattr(type(methods), "get", lambda own, name: changed if name == "npo" else plain(own, name))
    elif what == "the code":
        monkeypatch.setattr("expunge.workflow.sweep_plan.code_digest", lambda *_: "other")
    else:
        pool = Pool(threads=2)
    words = "trials changed" if what == "a default of a method" else "code changed"
    with pytest.raises(ConfigError, match=words):
        verb.sweep(out, toy_world, spec(), pool=pool)
    assert items == [] and files(out) == files(swept.out)


def test_reported_people_are_not_calibrated_on(swept, toy_world, tmp_path, monkeypatch):
    plan = make_plan(toy_world, spec(), threads=1)
    chosen, reported = (part_of(plan.selection, plan.parts[part]).holdout for part in ("validation", "reported"))
    given = []

    def noted(recipe, original, selection, **_):
        given.append(selection)
        raise TargetError("enough was seen")

    monkeypatch.setattr(type(methods.get("npo")), "unlearn", noted)
    for run in (tried, reported_trial):
        item = next(item for what, item in swept.items if what == "tried")
        run({**item, "out": str(tmp_path), "model": ""})
    for selection in given:
        assert selection.holdout.ids == chosen.ids and not set(chosen.ids) & set(reported.ids)
        assert replace(selection, holdout=plan.selection.holdout).digest() == plan.selection.digest()
    assert len(given) == 2 and len(reported) > 0


def test_another_spec_before_that_is_counted(swept, toy_world, tmp_path, monkeypatch):
    out = tmp_path / "again"
    shutil.copytree(swept.out, out)
    (out / "opened.json").unlink()
    items = watched(monkeypatch)
    result = verb.sweep(out, toy_world, replace(spec(), floor=0.5))
    assert result["earlier_plans"] == 1 and "Planned anew 1 times" in (out / "table.txt").read_text()
    assert not any(what == "tried" for what, _ in items), "the trials themselves are the same"


def children(pid):
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            if int(path.read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(path.parent.name))
        except (OSError, ValueError):
            continue
    return found


def wait_for(what, process):
    until = time.monotonic() + LIMIT
    while not what():
        assert process.poll() is None and time.monotonic() < until
        time.sleep(0.01)


def test_one_worker_that_is_killed_and_a_sweep_that_is_killed_end_with_the_bytes_of_two(
    swept, toy_world, tmp_path, monkeypatch
):
    out = tmp_path / "killed"
    line = (
        "import json, sys; from pathlib import Path; from pydantic import TypeAdapter; "
        "from expunge.workflow.sweep import sweep; from expunge.workflow.sweep_spec import Spec; "
        "from expunge.workflow.sweep_world import World; "
        "sweep(Path(sys.argv[1]), World(**json.loads(sys.argv[2])), TypeAdapter(Spec).validate_json(sys.argv[3]))"
    )
    told = [TypeAdapter(type(value)).dump_json(value).decode() for value in (toy_world, spec())]
    process = subprocess.Popen([sys.executable, "-c", line, str(out), *told], stderr=subprocess.PIPE)
    try:
        wait_for(lambda: len(list(out.glob("trials/*.json"))) >= 1, process)
        for child in children(process.pid):
            os.kill(child, signal.SIGKILL)
        wait_for(lambda: len(list(out.glob("trials/*.json"))) >= 3, process)
    finally:
        process.kill()
        process.communicate()
    cards = {path: path.stat().st_mtime_ns for path in out.glob("trials/*.json")}
    assert not (out / "opened.json").exists()
    items = watched(monkeypatch, here=True)
    assert verb.sweep(out, toy_world, spec(), pool=Pool(workers=1)) == swept.result
    assert files(out) == files(swept.out)
    trials = sum(row["trials"] for row in swept.result["rows"][3:])
    assert sum(what == "tried" for what, _ in items) == trials - len(cards)
    assert all(path.stat().st_mtime_ns == written for path, written in cards.items())


def test_what_is_told_before_is_what_is_done(swept, toy_world, tmp_path):
    plan = make_plan(toy_world, spec(), threads=1)
    facts = told(plan, workers=1)
    assert facts["budget_tokens"] == swept.result["budget_tokens"]
    assert facts["seconds"] > 0
    rows = {row["key"]: row for row in swept.result["rows"][3:]}
    for name, found in facts["methods"].items():
        assert found["tokens"] == rows[name]["tokens"]
        assert [t["settings"] for t in found["trials"]][rows[name]["trial"]] == rows[name]["settings"]
    assert f"{facts['budget_tokens']:,} tokens a method" in plan_text(facts)


def test_more_trials_leave_the_first_as_they_are(toy_world):
    few, many = (
        make_plan(toy_world, Spec(("npo",), trials=count, space={"npo": SPACE["npo"]}), threads=1) for count in (2, 5)
    )
    assert few.trials == many.trials[:2] and len(many.trials) == 5
    assert few.trials[0].settings == {}
    assert [few.key("trial", t.recipe) for t in few.trials] == [many.key("trial", t.recipe) for t in few.trials]


def test_a_budget_takes_what_fits(toy_world):
    asked = Spec(("npo",), space={"npo": SPACE["npo"]})
    own = make_plan(toy_world, replace(asked, trials=1), threads=1).budget
    plan = make_plan(toy_world, replace(asked, budget_tokens=own + 3000), threads=1)
    assert own < sum(t.tokens for t in plan.trials) <= own + 3000
    with pytest.raises(ConfigError, match="does not suffice for npo"):
        make_plan(toy_world, replace(asked, budget_tokens=own - 1), threads=1)
    for name in ("retrain", "statistics"):
        with pytest.raises(ConfigError, match=f"{name} cannot be swept"):
            make_plan(toy_world, Spec((name,)), threads=1)


def test_a_trial_that_takes_more_than_was_planned_is_refused(swept, tmp_path):
    item = next(item for what, item in swept.items if what == "tried")
    with pytest.raises(EvidenceError, match="instead of 7"):
        tried({**item, "out": str(tmp_path), "tokens": 7})
    assert not (tmp_path / "trials").exists()


def test_a_setting_that_ends_in_no_number_is_a_result(swept, tmp_path):
    item = next(item for what, item in swept.items if what == "tried" and item["method"] == "npo")
    tried({**item, "out": str(tmp_path), "key": "wild", "settings": {"lr": 1e30, "steps": 4}, "tokens": 10**6})
    assert "Lower the learning rate" in read_json(tmp_path / "trials" / "wild.json")["failed"]
    assert not (tmp_path / "models").exists()


def test_what_a_method_would_lack_is_said_before_anything_runs(toy_world, tmp_path):
    corpus = toy_world.read()
    bare = {"forget": corpus.forget, "holdout": corpus.holdout}
    for role, examples in bare.items():
        (tmp_path / f"{role}.jsonl").write_bytes(dump_examples(examples))
    files = {role: str(tmp_path / f"{role}.jsonl") for role in bare}
    for name in ("npo", "kga", "influence_unlearning"):
        with pytest.raises(ScopeError, match="the retain set is empty"):
            make_plan(replace(toy_world, files=files), Spec((name,)), threads=1)


def test_a_policy_of_another_wish_is_refused(toy_world):
    with pytest.raises(EvidenceError, match="judges the wish refuse"):
        make_plan(toy_world, replace(spec(), policy="research-refuse"), threads=1)


def test_speed_is_told_by_a_method_that_takes_steps(toy_world):
    start = {"influence_unlearning": {"rounds": 1, "iterations": 2, "sample": 4}}
    asked = Spec(("influence_unlearning", "npo"), trials=1, start=start, space={"npo": {}, "influence_unlearning": {}})
    assert told(make_plan(toy_world, asked, threads=1), workers=1)["seconds"] > 0
    alone = replace(asked, methods=("influence_unlearning",), space={"influence_unlearning": {}})
    assert told(make_plan(toy_world, alone, threads=1), workers=1)["seconds"] is None


def test_trials_start_from_what_the_spec_says(toy_world):
    start = {"npo": {"steps": 7, "retain_weight": 2.5}}
    plan = make_plan(toy_world, Spec(("npo",), trials=3, start=start, space={"npo": {"beta": (0.1, 0.9)}}), threads=1)
    assert [trial.settings["steps"] for trial in plan.trials] == [7, 7, 7]
    assert len(make_plan(toy_world, Spec(("npo",), trials=1, space={"npo": {}}), threads=1).trials) == 1
    assert plan.trials[0].settings == start["npo"]
    assert len({trial.settings.get("beta") for trial in plan.trials}) == 3
    with pytest.raises(UnknownName, match="start"):
        Spec(("npo",), start={"simnpo": {"steps": 7}})
