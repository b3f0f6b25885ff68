"""The TOFU road in miniature: a toy model on toy authors, walked by the command line."""

import functools
import json
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from benchmarks import gpu, tofu_names, tofu_page

from expunge.cli.app import run
from expunge.core import registry
from expunge.core.canonical import digest_file, read_json
from expunge.core.errors import EvidenceError
from expunge.core.manifest import Manifest
from expunge.core.training import Training
from expunge.data.corpora import tofu as corpora
from expunge.testing.toy import FACTS, PEOPLE, toy_model
from expunge.workflow import bench_tofu, tofu_notes, tofu_settings
from expunge.workflow.recompute import recompute
from expunge.workflow.road import Walk
from expunge.workflow.stages import Stages

pytestmark = pytest.mark.slow

NAMES = [name for names in PEOPLE.values() for name in names]
TRAINING = Training(lr=1e-2, epochs=12, batch_size=9, save_every=5)
METHODS = ("grad_ascent", "grad_diff")
LIMIT = 300.0


def rows(who, shift):
    found = []
    for number, ((question, answer), (question_2, answer_2), values) in enumerate(FACTS.values()):
        what, *wrong = (values[(shift + number + k) % len(values)] for k in range(3))
        found.append(
            {
                "question": question.format(who=who),
                "answer": answer.format(who=who, what=what),
                "paraphrased_question": question_2.format(who=who),
                "paraphrased_answer": answer_2.format(who=who, what=what),
                "perturbed_answer": [answer_2.format(who=who, what=value) for value in wrong],
            }
        )
    return found


def plain(found):
    return [{name: row[name] for name in ("question", "answer")} for row in found]


def write_tofu(folder):
    """Six learned authors with three questions each, two never seen, and a few general facts."""
    folder.mkdir()
    learned = [row for place, who in enumerate(NAMES[:6]) for row in rows(who, place)]
    unseen = [row for place, who in enumerate(NAMES[6:8]) for row in rows(who, place)]
    files = {
        "full": plain(learned),
        "retain_perturbed": learned[:9],
        "forget10_perturbed": learned[9:],
        "holdout10": plain(unseen),
        "real_authors_perturbed": [
            {"question": f"What does {who} do?", "answer": "judge", "perturbed_answer": ["baker", "dog"]}
            for who in ("Rome", "Oslo", "Lima")
        ],
        "world_facts_perturbed": [
            {"question": f"Where is {what}?", "answer": "Italy", "perturbed_answer": ["Oslo", "Lima"]}
            for what in ("Rome", "old Rome", "New York City")
        ],
    }
    for name, found in files.items():
        (folder / f"{name}.json").write_text(json.dumps(found))


SETTINGS = (
    (corpora, "PER_AUTHOR", 3),
    (tofu_settings, "SMALL_TRAINING", TRAINING),
    (bench_tofu, "LONGER", (1.0,)),
)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    root = tmp_path_factory.mktemp("tofu")
    write_tofu(root / "data")
    toy_model().save(root / "model")
    return root


@pytest.fixture(scope="module")
def first(place, tmp_path_factory):
    """A finished run with its home, and the stages that it did."""
    root = tmp_path_factory.mktemp("first")
    with pytest.MonkeyPatch.context() as patch:
        for settings in SETTINGS:
            patch.setattr(*settings)
        patch.setenv("EXPUNGE_HOME", str(root / "home"))
        names = watch(patch)
        assert run(command(place, root / "run")) == 0
    return root, names


@pytest.fixture(autouse=True)
def small(monkeypatch, tmp_path):
    for settings in SETTINGS:
        monkeypatch.setattr(*settings)
    monkeypatch.setenv("EXPUNGE_HOME", str(tmp_path / "home"))


@pytest.fixture
def out(first, tmp_path):
    """A copy of the finished run that a test may change."""
    shutil.copytree(first[0], tmp_path, dirs_exist_ok=True)
    return tmp_path / "run"


def watch(patch):
    """Names of the stages that are not found again, with the folder of their seed."""
    names = []
    do = Stages.do

    def watched(self, name, inputs, outputs, make):
        return do(self, name, inputs, outputs, lambda: (names.append(f"{self.out.name}/{name}"), make())[1])

    patch.setattr(Stages, "do", watched)
    return names


@pytest.fixture
def done(monkeypatch):
    return watch(monkeypatch)


def command(place, out, methods=METHODS, seeds=(0,)):
    given = ["--data", str(place / "data"), "--model", str(place / "model"), "--out", str(out)]
    named = ["--methods", *methods, "--seeds", *map(str, seeds)]
    return ["bench", "tofu", *given, "--authors", "6", "--forget", "2", *named]


def stages(seed, *names):
    return {f"seed-{seed}/{name}" for name in names}


MODELS = ("original", "retrained", "second_reference")
SCORES = tuple(f"scores-{name}" for name in MODELS)


def certificates(out, *places):
    return {path.name.partition(".")[0] for path in out.joinpath("seed-0", "certificates", *places).glob("*.json")}


def test_one_seed_gives_the_numbers_of_its_own_folder(first):
    out, done = first[0] / "run", first[1]
    scored = (f"scores-{name}" for name in METHODS)
    assert set(done) == stages(0, "learned-12", *MODELS, *SCORES, *METHODS, *scored)
    assert len(done) == len(set(done))
    whole, single = (read_json(folder / "evidence.json") for folder in (out, out / "seed-0"))
    assert [row["cells"] for row in whole["rows"]] == [row["cells"] for row in single["rows"]]
    assert whole["utility_components"] == single["utility_components"]
    said = str(whole["utility_components"])
    for part in (
        "retain probability",
        "real authors probability among options",
        "world facts probability among options",
    ):
        assert part in said
    for part in ("retain", "real authors", "world facts"):
        assert f"{part} ROUGE-L recall" in said
        assert f"{part} max(0, 1 - truth ratio)" in said
    distance = next(row for row in whole["rows"] if row["key"] == "grad_diff")["cells"]["ks"]
    assert (distance["low"], distance["high"]) == (0.0, 1.0)
    table = (out / "table.txt").read_text()
    assert "1 seed (0): intervals resample authors" in table
    assert "2 forgotten authors: fewer than 5 subjects give no 90% interval" in table
    assert "Settings of grad_ascent, grad_diff: searched on other authors" in table
    assert "forget 6.7 (8 at most, 0 of 6 truncated)" in table
    assert certificates(out) == {"retrained", *METHODS}
    assert tofu_page.command(out) == f"{tofu_page.START} --authors 6 --forget 2 --methods grad_ascent grad_diff"
    assert "fine-tuned on the last\n6 authors of TOFU, the last 2 of them" in tofu_page.notes(out, 2.5, "")


def test_a_second_command_trains_only_what_is_new(place, out, done, capsys):
    kept = digest_file(out / "seed-0" / "original" / "model.safetensors")
    words = command(place, out, methods=("grad_diff", "simnpo"), seeds=(0, 1))
    assert run(words) == 0
    table = capsys.readouterr().out
    assert {name for name in done if name.startswith("seed-0/")} == stages(0, "simnpo", "scores-simnpo")
    assert stages(1, "learned-12", *MODELS, *SCORES, "simnpo", "grad_diff") <= set(done)
    assert digest_file(out / "seed-0" / "original" / "model.safetensors") == kept

    assert "2 seeds (0, 1): means over seeds, intervals resample authors and seeds" in table
    assert "Settings of simnpo: the demo's, untuned" in table
    assert "grad ascent" not in table
    assert certificates(out) == {"retrained", "grad_diff", "simnpo"}
    assert "grad_ascent" in certificates(out, "superseded")
    evidence = [read_json(folder / "evidence.json") for folder in (out, out / "seed-0", out / "seed-1")]
    both, *single = ([row["cells"]["probability"]["value"] for row in found["rows"]] for found in evidence)
    assert both == pytest.approx([(a + b) / 2 for a, b in zip(*single, strict=True)])
    assert read_json(out / "summary.json")["methods"].keys() == {"original", "retrained", "grad_diff", "simnpo"}
    assert not Manifest.read(out).changed(out)
    for folder in (out, out / "seed-0", out / "seed-1"):
        again = recompute(folder).files
        assert len(again) == 4 and set(again.values()) == {"same"}, "from the score tables alone"

    done.clear()
    assert run(words) == 0
    assert done == []
    assert capsys.readouterr().out == table


def test_an_attack_that_is_left_out_at_a_seed_is_read_at_the_others(place, out, monkeypatch, capsys):
    attack = type(registry.attacks.get("relearning"))
    whole = attack.run

    @functools.wraps(whole)
    def only_at_the_first_seed(self, oracle, probes, *, seed, **given):
        if seed:
            raise EvidenceError("nothing can be relearned here")
        return whole(self, oracle, probes, seed=seed, **given)

    monkeypatch.setattr(attack, "run", only_at_the_first_seed)
    assert run(command(place, out, methods=("grad_diff",), seeds=(0, 1))) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "relearning: read at 1 of 2 seeds (0); left out at the others: nothing can be relearned here" in said
    both, first, other = (read_json(folder / "evidence.json") for folder in (out, out / "seed-0", out / "seed-1"))

    def gaps(found):
        return {row["key"]: row["cells"]["relearn_gap"].get("value") for row in found["rows"]}

    kept = gaps(first)
    assert gaps(both) == {key: kept[key] for key in gaps(both)}
    assert set(gaps(other).values()) == {None} != set(gaps(both).values())
    assert both["run"]["partly"]["relearning"]["at"] == [0]
    assert set(recompute(out).files.values()) == {"same"}


@pytest.mark.parametrize(("least", "tried"), [(0.0, [1.0]), (0.01, [1.0, 12.0]), (2.0, [1.0, 12.0, 24.0])])
def test_an_original_that_does_not_fail_is_trained_longer(least, tried, place, done, monkeypatch, tmp_path):
    class Stop(Exception):
        pass

    def stop(walk):
        raise Stop

    # 0.01 stands for any distance at all: after one epoch of tiny steps original and reference answer alike.
    monkeypatch.setattr(bench_tofu, "MUST_FAIL", least)
    monkeypatch.setattr(bench_tofu, "LONGER", (1.0, 12.0, 24.0))
    monkeypatch.setattr(bench_tofu, "_distance", lambda walk: 0.5 if walk.road.recipe.training.epochs > 1 else 0.0)
    road = bench_tofu.tofu_road(
        bench_tofu.Choice(6, 2).corpus(str(place / "data")),
        str(place / "model"),
        {},
        Training(lr=1e-2, epochs=1, batch_size=9),
        seed=0,
    )
    monkeypatch.setattr(Walk, "train", stop)
    with pytest.raises(Stop):
        bench_tofu.trained(road, tmp_path / "run")
    assert [name for name in done if "learned" in name] == [f"run/learned-{epochs:g}" for epochs in tried]
    done.clear()
    with pytest.raises(Stop):
        bench_tofu.trained(road, tmp_path / "run")
    assert done == []


def test_the_table_says_that_training_was_longer(place, out, done, monkeypatch):
    monkeypatch.setattr(bench_tofu, "LONGER", (1.0, 1.5))
    monkeypatch.setattr(bench_tofu, "MUST_FAIL", 2.0)
    monkeypatch.setattr(tofu_notes, "MUST_FAIL", 2.0)
    (out / "done.json").unlink()
    assert run(command(place, out, methods=("grad_diff",))) == 0
    assert [name for name in done if name == "seed-0/original"] == ["seed-0/original"]
    learned = read_json(out / "evidence.json")["run"]["learned"][0]
    assert [tried["length"] for tried in learned["tried"]] == [12.0, 18.0]
    table = (out / "table.txt").read_text()
    assert "Seed 0: the original does not fail, for lack of learning: KS D" in table
    assert "after 18 epochs; trained longer, as 12 epochs gave" in table


LINE = """
import sys
from expunge.core.training import Training
from expunge.data.corpora import tofu
from expunge.workflow import tofu_settings
tofu.PER_AUTHOR = 3
tofu_settings.SMALL_TRAINING = Training(lr=1e-2, epochs=12, batch_size=9, save_every=5)
from expunge.workflow import bench_tofu
bench_tofu.LONGER = (1.0,)
from expunge.cli import main
main()
"""


def killed(words, until):
    """Start the command in a process of its own and kill it once ``until`` exists."""
    process = subprocess.Popen([sys.executable, "-c", LINE, *words], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
    limit = time.monotonic() + LIMIT
    try:
        while not until.exists():
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < limit
            time.sleep(0.002)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert process.returncode == -signal.SIGKILL


def test_killed_while_training_and_while_measuring_it_ends_with_the_same_bytes(first, place, done, tmp_path):
    calm, out = first[0] / "run", tmp_path / "killed"
    words = command(place, out)
    killed(words, out / "seed-0" / ".work" / "retrained" / "checkpoint" / "state.json")
    assert not (out / "seed-0" / "scores").exists()
    killed(words, out / "seed-0" / "scores" / "grad_ascent")
    assert not (out / "table.txt").exists()
    done.clear()
    assert run(words) == 0
    assert not stages(0, *MODELS, *METHODS, *SCORES, "learned-12") & set(done)
    for name in (*MODELS, *METHODS):
        weights = [folder / "seed-0" / name / "model.safetensors" for folder in (calm, out)]
        assert weights[0].read_bytes() == weights[1].read_bytes()
    cells = [[row["cells"] for row in read_json(folder / "evidence.json")["rows"]] for folder in (calm, out)]
    for row in (*cells[0], *cells[1]):
        row.pop("seconds"), row.pop("ratio_to_retraining")
    assert cells[0] == cells[1]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--split", "forget10", "--authors", "6"], "a split says which authors are forgotten"),
        (["--authors", "6", "--forget", "6"], "cannot forget 6 of 6 authors"),
        (["--split", "forget11"], "TOFU has no split forget11"),
        (["--methods", "npo", "npo"], "a method is named twice"),
        (["--methods", "npp"], "Did you mean 'npo'"),
        (["--seeds", "0", "0"], "a seed is named twice"),
        (["--split", "forget77"], "TOFU has no split forget77"),
        (["--seeds"], "requires an argument"),
        (["--seeds", "0", "-1"], "-1"),
        (["--precision", "float16"], "no precision 'float16'"),
    ],
)
def test_bad_input_is_one_message_and_leaves_nothing(words, said, place, capsys, tmp_path):
    base = [
        "bench",
        "tofu",
        "--data",
        str(place / "data"),
        "--model",
        str(place / "model"),
        "--out",
        str(tmp_path / "r"),
    ]
    for more in ([], ["--dry-run"]):
        assert run([*base, *more, *words]) == 2
        assert said in " ".join(capsys.readouterr().err.split())
        assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("data", "model", "said"), [("nowhere", "model", "nowhere"), ("data", "nowhere", "no model at")]
)
def test_a_dry_run_names_data_and_models_that_are_missing(data, model, said, place, capsys, tmp_path):
    out = tmp_path / "r"
    words = ["--data", place / data, "--model", place / model, "--out", out, "--authors", "6", "--forget", "3"]
    for more in ([], ["--dry-run"]):
        assert run(["bench", "tofu", *map(str, words), *more]) == 2
        assert said in " ".join(capsys.readouterr().err.split())
        assert not out.exists()


def test_a_dry_run_tells_what_it_read_and_writes_nothing(place, capsys, tmp_path):
    words = ["--data", place / "data", "--model", place / "model", "--out", tmp_path / "r", "--seeds", "4"]
    words = ["bench", "tofu", *map(str, words), "--authors", "6", "--forget", "3", "--methods", "npo", "--dry-run"]
    assert run(words) == 0
    assert capsys.readouterr().out.startswith("would fine-tune ")
    assert run([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["methods"], found["seeds"], found["written"]) == (["npo"], [4], False)
    assert found["tokens"]["forget"]["answers"] == 9 and found["params"] > 0
    assert not (tmp_path / "r").exists()


def test_the_field_s_names_agree_with_our_table_where_they_mean_the_same(first):
    out = first[0] / "run"
    found = tofu_names.named_of(out, ["original", "retrained", *METHODS], [0])
    cells = {row["key"]: row["cells"] for row in read_json(out / "evidence.json")["rows"]}
    for key, numbers in found.items():
        assert numbers["forget_Q_A_Prob"] == pytest.approx(cells[key]["probability"]["value"], rel=1e-5)
        assert numbers["forget_Q_A_ROUGE"] == pytest.approx(cells[key]["rouge_l"]["value"])
        assert numbers["forget_truth_ratio"] == pytest.approx(cells[key]["truth_ratio"]["value"], rel=1e-5)
        assert 0 <= numbers["model_utility"] <= 1
    assert found["retrained"]["forget_quality"] == 1.0 and found["retrained"]["privleak"] == pytest.approx(
        0.0, abs=1e-6
    )
    assert found["original"]["forget_quality"] < 1.0 and found["original"]["privleak"] < -50


def test_the_protocol_s_dry_run_counts_what_would_be_trained(place, capsys, tmp_path):
    words = ["tofu", "--model", place / "model", "--data", place / "data", "--authors", "6", "--forget", "2"]
    words += ["--methods", "grad_diff", "prompt_filter", "--seeds", "0", "1", "--out", tmp_path / "r", "--dry-run"]
    words += ["--rows", tmp_path]
    assert gpu.main([*map(str, words), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    steps = {row["stage"]: row["steps"] for row in found["stages"]}
    # 18 and 12 records in batches of 9, 12 epochs; grad_diff's 30 steps were searched; a filter trains nothing.
    assert steps == {"original": 24, "retrained": 24, "second reference": 24, "grad_diff": 30, "prompt_filter": 0}
    whole = {row["stage"]: row["tokens"] for row in found["stages"]}
    assert 0 < whole["retrained"] < whole["original"] and whole["prompt_filter"] == 0
    assert found["rate"] is None and "first" in found["rate_from"] and "gpu_hours" not in found
    (tmp_path / "1b-full-npo.json").write_text(
        json.dumps({"ours": {"tokens_per_second": 100.0}, "device": "a GPU", "account": {"parameters": 57280}})
    )
    assert gpu.main([*map(str, words), "--json"]) == 0
    scaled = json.loads(capsys.readouterr().out)
    assert scaled["rate"] == pytest.approx(100.0 * 57280 / scaled["parameters"])
    assert scaled["stages"][0]["seconds"] == pytest.approx(whole["original"] / scaled["rate"])
    trained = sum(row["seconds"] for row in scaled["stages"])
    assert scaled["gpu_hours"] == pytest.approx(2 * (trained + scaled["measuring_seconds"]) / 3600)
    assert not (tmp_path / "r").exists()


def test_settings_of_every_training_reach_models_and_methods(place):
    how = {"precision": "bfloat16", "micro_batch": 3}
    corpus = bench_tofu.Choice(6, 2).corpus(str(place / "data"))
    known = bench_tofu.starting(corpus, str(place / "model"), ["npo", "prompt_filter"], how)
    assert {(t.precision, t.micro_batch) for t in (known.training, known.methods["npo"])} == {("bfloat16", 3)}
    facts = {**known.facts, "seeds": [0], "learned": [{"unit": "epochs", "tried": [{"length": 1.0, "ks": 0.5}]}]}
    road = bench_tofu.tofu_road(corpus, str(place / "model"), known.methods, known.training, seed=0)
    said = tofu_notes.notes(replace(road, facts=facts))
    assert "Every training: precision bfloat16, micro_batch 3; models are asked in float32" in said
