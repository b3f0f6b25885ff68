"""Roads of exact deletion with bad input: one message, an exit code, and nothing written anywhere."""

import pytest
import yaml

from expunge.cli.app import run
from expunge.core.canonical import digest_folder
from expunge.testing.toy import toy_model

from .exact_cases import SISA, make_tables

SLIPS = {
    "shard: 3": "unknown setting of the recipe sisa 'shard'. Did you mean 'shards'?",
    "shards: 0": "a model cannot have 0 shards",
    "shards: two": "a setting of the recipe sisa does not fit: shards",
    "vote: majorty": "does not fit: vote",
    "trainer: estimator": "SISA needs a trainer",
    "trainer: {name: estimater, settings: {}}": "unknown trainer 'estimater'. Did you mean 'estimator'",
    "trainer: {name: estimator}": "it is a name and settings, and there is name. Write",
    "trainer: {name: estimator, settings: }": "the trainer does not fit",
    "trainer: {name: estimator, settings: {}, lr: 1}": "unknown part of a trainer 'lr'",
    "trainer: {name: estimator, settings: {path: a:b, clases: []}}": "does not fit: clases",
    "trainer: {name: estimator, settings: {path: sklearn.linear_model:Rigde}}": "no attribute 'Rigde'",
    "trainer: {name: estimator, settings: {path: sklearn.linear_model:Ridge, settings: {alfa: 1}}}": "argument 'alfa'",
    "trainer: {name: module, settings: {factory: torch.nn:Linear, settings: {out: 1}}}": "'out'",
    "{partition: explicit, places: {r1: [0, 0]}}": "record 'r0' has no shard and slice",
}
"""What is changed in a recipe -> what is said."""
PARTS = {
    "{}": "a language model is trained on text",
    "inference: averge": "does not fit: inference",
    "training: {lr: 0.01, steps: 3}": "parts are trained for whole epochs",
    "base: {vocabulary: [a], hiden: 3}": "hiden. Unexpected keyword",
    "recipe: replayable": "unknown setting of the recipe replayable 'inference'",
    "{recipe: sharded_adapters, adapter: {rank: 2}}": "adapter.rank",
}
LM = {
    "recipe": "soup",
    "base": {"vocabulary": ["a", "b"]},
    "training": {"lr": 0.01, "epochs": 1},
    "shards": 2,
    "inference": "route",
}


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    root = make_tables(tmp_path_factory.mktemp("tables"))
    toy_model().save(root.root / "plain")
    (root.root / "blank.txt").write_text("\n \n")
    (root.root / "twice.txt").write_text("r3\nr8\nr3\n")
    (root.root / "twice.csv").write_text((root.root / "classes.csv").read_text() + "r3,0.5,0.25,1\n")
    return root


@pytest.fixture(scope="module")
def trained(tables, tmp_path_factory):
    """A model that was trained elsewhere: with another key, log and vault."""
    out = tables.root / "trained"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EXPUNGE_HOME", str(tmp_path_factory.mktemp("home")))
        assert run(tables.train(out, recipe="sisa.yaml", data="classes.csv")) == 0
    return out


def changed(tables, body, change):
    """The name of a recipe file in which something is changed."""
    (tables.root / "slip.yaml").write_text(yaml.safe_dump({**body, **yaml.safe_load(change)}))
    return "slip.yaml"


@pytest.mark.parametrize("slip", SLIPS)
def test_a_recipe_with_a_slip_is_refused_before_the_log_is_told(slip, tables, refused, tmp_path):
    recipe = changed(tables, yaml.safe_load(SISA), slip)
    for more in ((), ("--dry-run",)):
        command = tables.train(tmp_path / "out", *more, recipe=recipe, data="classes.csv")
        assert SLIPS[slip] in refused(2, *command)


@pytest.mark.parametrize("slip", PARTS)
def test_a_recipe_of_parts_with_a_slip_is_refused_before_the_log_is_told(slip, tables, refused, tmp_path):
    command = tables.train(tmp_path / "out", recipe=changed(tables, LM, slip), data="classes.csv")
    assert PARTS[slip] in refused(2, *command)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--set", "shards.x=3"), "shards has no settings of its own"),
        (("--set", "trainer.settings.settings.los=hinge"), "keyword argument 'los'"),
        (("--workers", "0"), "greater than or equal to 1"),
        (("--recipe", "coreset"), "the learner coreset needs the setting learner"),
        (("--recipe", "coreset", "--set", "learner=nearest_centriod"), "Did you mean 'nearest_centroid'"),
        (("--recipe", "coreset", "--set", "learner=lda", "--set", "per_clas=3"), "Did you mean 'per_class'"),
        (("--recipe", "coreset", "--set", "learner=lda", "--set", "per_class=few"), "per_class of the learner"),
        (("--recipe", "exact_pipeline"), "the learner exact_pipeline needs the setting steps"),
        (("--label", ""), "the rows have no labels. Name their column: --label"),
        (("--recipe", "ridge", "--label", ""), "ridge learns to tell a number of each row, and the rows have none"),
        (("--data", "absent.csv"), "cannot read the data absent.csv"),
        (("--data", "twice.csv"), "two rows share the id 'r3'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_training_that_cannot_begin_is_refused_before_the_log_is_told(more, words, tables, refused, tmp_path):
    more = [str(tables.root / one) if one == "twice.csv" else one for one in more]
    command = tables.train(tmp_path / "out", recipe="sisa.yaml", data="classes.csv")
    assert words in refused(2, *command, *more)
    assert words in refused(2, *command, *more, "--dry-run")


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--ids", "r99"), "1 of 1 records are not in the data"),
        (("--ids", ""), "give --ids or one --forget"),
        (("--ids", ","), "the forget set is empty"),
        (("--forget", "blank.txt"), "the forget set is empty"),
        (("--forget", "absent.txt"), "cannot read the forget file"),
        (("--ids", "r3", "--workers", "0"), "greater than or equal to 1"),
        (("--ids", "r3", "--set", "pool=3"), "unknown setting of sisa 'pool'"),
        (("--ids", "r3", "--set", "slices=3"), "unknown setting of sisa 'slices'"),
        (("--ids", "r3", "--data", "absent.csv"), "cannot read the data"),
        (("--ids", "r3", "--data", "twice.csv"), "two rows share the id 'r3'"),
        (("--ids", "r3", "--out", "trained/x"), "trained/x is within the model"),
        (("--ids", "r3", "--method", "statistics"), "needs a target with provenance Statistics"),
        (("--ids", "r3", "--method", "replay"), "needs a target with provenance Replayable"),
        (("--ids", "r3", "--method", "npo"), "Give --method statistics, sisa or replay"),
        (("--ids", "r3", "--model", "plain"), "sisa needs a target with provenance Sharded. this causal_lm has Plain"),
        (("--ids", "r3", "--model", "absent"), "no model at"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_deletion_that_cannot_be_is_refused_and_nothing_is_written(more, words, tables, trained, refused, tmp_path):
    places = {name: tables.root / name for name in ("blank.txt", "absent.txt", "absent.csv", "twice.csv", "plain")}
    places |= {"absent": tmp_path / "absent", "trained/x": trained / "x"}
    command = tables.forget(trained, tmp_path / "out", *(str(places.get(one, one)) for one in more), method="sisa")
    before = digest_folder(trained)
    assert words in refused(2, *command)
    assert words in refused(2, *command, "--dry-run")
    assert digest_folder(trained) == before


def test_an_id_that_is_given_twice_is_forgotten_once(tables, trained, call, tmp_path):
    found = set()
    for name, more in {"once": ("--ids", "r3,r8"), "twice": ("--ids", "r3, r8,r3"), "file": ("--forget", "")}.items():
        more = ("--forget", str(tables.root / "twice.txt")) if name == "file" else more
        command = tables.forget(trained, tmp_path / name, *more, "--json", method="sisa")
        assert call(*command, "--dry-run").json["forget"] == 2
        found.add(call(*command).json["after"])
    assert len(found) == 1


def test_an_audit_of_what_is_no_result_says_so(tables, trained, refused, tmp_path):
    (tmp_path / "letter").write_text("Dear all")
    for code, arguments, words in (
        (2, (tmp_path / "absent",), "cannot read the certificate"),
        (2, (trained,), "holds no result"),
        (1, (tmp_path / "letter",), "malformed certificate"),
        (2, (trained, "--workers", "0"), "greater than or equal to 1"),
        (2, (trained, "--data", tmp_path / "absent"), "cannot read the data"),
    ):
        assert words in refused(code, "audit", "replay", *arguments)
