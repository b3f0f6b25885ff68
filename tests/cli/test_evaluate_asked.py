"""expunge evaluate with scorers and with shadow models: both reach the table, the policy and the recomputation."""

import json
import shutil
from pathlib import Path

import pytest

from expunge.core.canonical import read_json
from expunge.core.manifest import Manifest
from expunge.core.policy import Criterion, Policy
from expunge.testing.toy import toy_recipe
from expunge.workflow import shadows
from expunge.workflow.rejudge import rejudge
from expunge.workflow.shadow_model import body_of

pytestmark = pytest.mark.slow

SCORER = """
from pathlib import Path
def score(items):
    with Path("asked").open("a") as stream:
        stream.write("x")
    return [len(item.generated) % 7 / 7 for item in items]
def failing(items):
    raise RuntimeError("no endpoint")
"""


@pytest.fixture
def given(world, call, tmp_path, monkeypatch):
    """A result by settings that are not the method's own, a module with scorers, and the recipe of the references."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(shadows, "map", lambda function, items, **more: [function(item) for item in items])
    name = f"scorers_of_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(SCORER)
    (tmp_path / "recipe.json").write_text(json.dumps(body_of(toy_recipe(steps=40))))
    run = tmp_path / "run"
    assert call(*world.unlearn(run, "--steps", "2", "--set", "beta=0.3")).code == 0
    return run, name


def asked(world, run: Path, *more: str) -> list[str]:
    return world.evaluate(run, "--policy", "research-tofu", *more)


def by_shadows(world, run: Path, *more: str) -> list[str]:
    return asked(world, run, "--shadows", "4", "--recipe", "recipe.json", *more)


def test_a_scorer_and_shadow_models_reach_the_table_and_a_policy_and_are_computed_again(given, world, call):
    run, name = given
    told = call(*by_shadows(world, run, "--scorer", f"toxicity={name}:score", "--json")).json
    assert Path("asked").read_text() == "x" * 8, "four models, forgotten and never-seen records"
    assert {"toxicity", "lira", "u_lira", "u_lira_population"} < set(told["cells"])
    rows = {row["key"]: row["cells"] for row in read_json(run / "evidence.json")["rows"]}
    assert set(rows) == {"original", "retrained", "second_reference", "npo"}
    values = read_json(run / "scores" / "npo" / "forget.json")["generated"]
    mean = sum(len(text) % 7 / 7 for text in values) / len(values)
    assert float(rows["npo"]["toxicity"]["value"]) == pytest.approx(mean)
    assert float(rows["original"]["lira"]["value"]) > float(rows["retrained"]["lira"]["value"]) + 0.2
    assert len(list((run / "scores" / "shadows").iterdir())) == 4
    again = call("evaluate", "--from", run, "--json").json
    assert again["same"] and set(again["files"].values()) == {"same"}
    listed = [Criterion(attack, 0.1) for attack in ("toxicity", "lira", "u_lira", "rmia_shadows", "judged")]
    reasons = {
        f.criterion: f.reason for f in rejudge(run, Policy("mine", "1", tuple(listed), 0.5)).verdicts["npo"].findings
    }
    assert "no scorer was given for judged" in reasons["judged"]
    assert all("margin" in reasons[c.attack] or "control" in reasons[c.attack] for c in listed[:-1])
    personal = {e.path for e in Manifest.read(run).entries if e.contains_personal_data}
    assert any(path.startswith("shadows/models/") for path in personal)
    assert call("certify", run).code == 0


def test_a_killed_training_of_shadow_models_is_continued_without_loss(given, world, call, monkeypatch):
    run, _ = given
    shutil.copytree(run, run.with_name("whole"))
    trained = []

    def one_by_one(function, items, **more):
        for item in items:
            if len(trained) == 3:
                raise KeyboardInterrupt
            trained.append(item["number"])
            function(item)

    monkeypatch.setattr(shadows, "map", one_by_one)
    assert call(*by_shadows(world, run)).code == 130
    told = call(*by_shadows(world, run, "--dry-run", "--json")).json["shadows"]
    assert (told["models"], told["to_train"], told["to_unlearn"]) == (4, 1, 1)
    monkeypatch.setattr(shadows, "map", lambda function, items, **more: [one_by_one(function, [i]) for i in items])
    trained.clear()
    call(*by_shadows(world, run))
    assert trained == [3], "what was there was not done again"
    trained.clear()
    monkeypatch.setattr(shadows, "map", lambda function, items, **more: [function(item) for item in items])
    call(*by_shadows(world, run.with_name("whole")))
    for path in sorted((run / "shadows" / "scores").rglob("*.safetensors")):
        other = run.with_name("whole") / path.relative_to(run)
        assert path.read_bytes() == other.read_bytes()


def test_what_shadow_models_will_cost_is_told_and_nothing_is_written(given, world, call):
    run, name = given
    before = {p: p.stat().st_mtime_ns for p in run.rglob("*")}
    arguments = by_shadows(world, run, "--scorer", f"toxicity={name}:score", "--dry-run")
    said = call(*arguments)
    assert said.code == 0 and "would ask the scorers of toxicity" in said.out
    assert "would train 4 of 4 shadow models and unlearn 4: about" in said.out
    cost = call(*arguments, "--json").json["shadows"]
    double = call(*[a if a != "4" else "8" for a in arguments], "--json").json["shadows"]
    assert double["tokens"] == 2 * cost["tokens"] > 0
    assert cost["trainings"] > 4, "each learns what the reference learned, and its half of the others"
    assert {p: p.stat().st_mtime_ns for p in run.rglob("*")} == before


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--scorer", "toxicty=m:score"], "scorers fill toxicity, judged"),
        (["--scorer", "toxicity=math:pi"], "math:pi cannot be called"),
        (["--scorer", "toxicity=nowhere:score"], "--scorer cannot be"),
        (["--scorer", "toxicity=math:sqrt", "--scorer", "toxicity=math:sin"], "given twice"),
        (["--recipe", "recipe.json"], "--recipe goes with --shadows"),
        (["--shadows", "4"], "the recipe of the reference is not known"),
        (["--shadows", "5", "--recipe", "recipe.json"], "too few or odd"),
        (["--shadows", "4", "--recipe", "wide.json"], "not that of the reference"),
        (["--shadows", "4", "--recipe", "odd.json"], "odd.json states no recipe"),
        (["--shadows", "4", "--recipe", "none.json"], "there is no none.json"),
    ],
)
def test_what_cannot_be_asked_for_is_refused_and_nothing_is_written(given, world, refused, more, said):
    run, _ = given
    Path("wide.json").write_text(json.dumps(body_of(toy_recipe(steps=40, hidden=24))))
    Path("odd.json").write_text('{"base": "m", "training": {"epochs": 5}}')
    assert said in refused(2, *asked(world, run, *more))


def test_a_scorer_that_raises_is_one_message(given, world, refused):
    run, name = given
    words = refused(2, *asked(world, run, "--scorer", f"judged={name}:failing"))
    assert "the scorer of judged failed" in words and "RuntimeError: no endpoint" in words


def test_a_method_whose_settings_are_not_known_is_not_copied(given, world, refused):
    run, _ = given
    card = read_json(run / "outcome.json")
    del card["settings"]
    (run / "outcome.json").write_text(json.dumps(card))
    Manifest.of(run).write(run)
    assert "settings of npo" in refused(2, *by_shadows(world, run))
