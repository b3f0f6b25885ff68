"""The trust table: pairs are independent, splits seeded, intervals cover, and what fails on one pair fails there."""

from argparse import Namespace

import numpy as np
import pytest
from benchmarks import trust, trust_page
from benchmarks import trust_judging as judging
from benchmarks import trust_margins as margins
from benchmarks import trust_models as models
from benchmarks import trust_splits as splits

from expunge.core.errors import TargetError
from expunge.core.registry import attacks, metrics
from expunge.evaluation.per_item import PerItem
from expunge.evaluation.score_table import save_tables

SUBJECTS = [f"person-{i}" for i in range(12)]


def table(value):
    return {"ids": SUBJECTS, "subjects": SUBJECTS, "outcome": np.full(len(SUBJECTS), value)}


def tables(known, never=0.2):
    return {who: table(known if who == "trained" else never) for who in models.ARMS}


def row(trained, never, gone=()):
    """One verdict a pair, on which all its splits agree."""
    found = {"trained": trained, "never": never, "retrained": never}
    each = {case: [[status] * splits.SPLITS for status in statuses] for case, statuses in found.items()}
    return judging.Row("paraphrase", margins.SHARE, each, gone)


def test_every_pair_has_people_of_its_own_and_every_model_a_seed_of_its_own():
    assert len({models.corpus_of(pair) for pair in range(trust.PAIRS)}) == trust.PAIRS
    seeds = {(pair, case): models.seed_of(pair, case) for pair in range(trust.PAIRS) for case in models.ARMS}
    assert len(set(seeds.values())) == trust.PAIRS * (len(models.ARMS) - 1)
    assert all(seeds[pair, "retrained"] == seeds[pair, "trained"] for pair in range(trust.PAIRS))


def test_every_name_of_the_registries_is_read_or_has_a_reason():
    assert {*models.table_names(), *models.unmeasured()} == set(metrics.names())
    assert not set(models.table_names()) & set(models.unmeasured())
    assert set(models.attack_names()) == set(attacks.names())


def test_a_margin_is_that_of_the_policies_on_their_side_or_one_in_the_unit_of_the_name():
    assert margins.margin_of("sampling_leak").size == 0.05
    assert margins.margin_of("many_shot").side == "above" and margins.margin_of("rouge_l").side == "both"
    assert margins.margin_of("privleak").size == 20 and "percent" in margins.margin_of("privleak").why
    assert margins.margin_of("tug_of_war") == margins.SHARE


@pytest.mark.parametrize(("known", "name", "status"), [(0.9, "cka", "failed"), (0.9, "many_shot", "failed")])
def test_a_verdict_is_that_of_the_side_of_the_criterion(known, name, status):
    def said(value):
        items = PerItem({who: {name: t} for who, t in tables(value, never=0.6).items()})
        return judging.verdict(name, items, margins.margin_of(name), "trained", 0)

    assert said(known) == status and said(0.6) == "earned"
    assert said(0.1) == ("earned" if name == "many_shot" else "failed")


def test_a_split_is_three_quarters_of_the_people_with_all_that_is_theirs_whatever_the_order_and_the_role():
    people = [f"p{i}" for i in range(8) for _ in range(3)]
    rows = {"ids": [f"r{i}" for i in range(24)], "subjects": people, "outcome": np.arange(24.0)}
    turned = {"ids": rows["ids"][::-1], "subjects": people[::-1], "outcome": np.arange(24.0)[::-1]}
    kept = set()
    for seed in range(splits.SPLITS):
        split = splits.Split(PerItem({"model": {"alias": rows, "cka": turned}}), seed)
        drawn = split.subjects("alias")
        assert len(set(drawn)) == 6 and len(drawn) == 18 and sorted(drawn) == sorted(split.subjects("cka"))
        values = split.values("model", "alias", "outcome")
        assert {people[int(value)] for value in values[0]} == set(drawn) and values.shape == (1, 18)
        kept.add(frozenset(drawn))
    assert len(kept) > 5, "splits differ"


def test_of_people_whom_an_attack_adds_as_many_are_drawn_as_of_those_it_probes():
    rows = {"ids": list("abcdefgh") + list("ijkl"), "subjects": list("abcdefgh") + list("ijkl")}
    rows |= {"outcome": np.zeros(12), "unseen": np.array([0.0] * 8 + [1.0] * 4)}
    for seed in range(5):
        drawn = splits.Split(PerItem({"model": {"gradient_norm": rows}}), seed).subjects("gradient_norm")
        assert len(set(drawn) & set("abcdefgh")) == 6 and len(set(drawn) & set("ijkl")) == 3


@pytest.mark.parametrize("pairs", [trust.TRIED, trust.PAIRS])
def test_the_interval_covers_when_splits_of_a_pair_hang_together(pairs):
    generator, true = np.random.default_rng(0), (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7, 0.9)

    def coverage(share, agree):
        a, b = share * (1 - agree) / agree, (1 - share) * (1 - agree) / agree
        one = generator.random((1500, pairs)) < share if agree == 1 else generator.beta(a, b, (1500, pairs))
        means = generator.binomial(splits.SPLITS, one).mean(axis=1) / splits.SPLITS
        return np.mean([low <= share <= high for low, high in (splits.wilson(m, pairs) for m in means)])

    agreeing = [coverage(share, 1) for share in true]
    assert np.mean(agreeing) > 0.88 and min(agreeing) > 0.8
    assert min(coverage(share, 0.5) for share in true) > 0.92


def test_the_interval_counts_pairs_and_has_a_width_where_all_agree():
    assert splits.clustered([0.0] * 12)[2] > 0.15 and splits.clustered([1.0] * 12)[1] < 0.85
    assert splits.wilson(0.0, 10)[1] > judging.WRONG > splits.wilson(0.0, 11)[1], "fewer than 11 pairs are never a yes"
    assert splits.clustered([1.0, 0.0] * 6) == splits.clustered([0.5] * 12)


def test_a_pair_that_cannot_be_measured_does_not_drop_the_name(tmp_path, monkeypatch):
    at = models.folders(tmp_path, "quick")
    for pair in (0, 2):
        save_tables(models.attack_place(at, pair, "cka"), tables(0.9), salt="s")
    gone = models.attack_place(at, 1, "cka")

    def refuses(*_args, **_more):
        raise TargetError("it cannot be had")

    class Loaded:
        target = type("Target", (), {"oracle": lambda *_: None})

    monkeypatch.setattr(models, "Saved", lambda _: Loaded)
    monkeypatch.setattr(models, "run_attack", refuses)
    item = {"at": at, "pair": 1, "attack": "cka", "budget": "quick"}
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):

        def killed(path, value):
            if path.name == models.GIVEN_UP:
                raise KeyboardInterrupt

        patched.setattr(models, "write_json", killed)
        models.attacked(item)
    assert not gone.exists(), "a folder without its reason would never be tried again"
    models.attacked(item)
    places = [judging.judged_place(at, judging.ATTACK, pair, ["cka"]) for pair in range(3)]
    for pair in range(3):
        judging.judged({"at": at, "names": ["cka"], "kind": judging.ATTACK, "pair": pair})
    (found,) = judging.rows_of(places, ["cka"])
    assert found.statuses["trained"] == [["failed"] * splits.SPLITS] * 2
    assert found.statuses["never"] == [["earned"] * splits.SPLITS] * 2
    assert found.pairs == 2 and len(found.gone) == 1 and "cannot be had" in found.gone[0]
    assert "cka*" in trust_page.table_of([found]) and "1 pairs not measured" in trust_page.table_of([found])
    assert all(models.cost_of(place) >= 0 for place in places)


def test_what_was_judged_is_not_judged_again(tmp_path, monkeypatch):
    at = models.folders(tmp_path, "quick")
    save_tables(models.attack_place(at, 0, "cka"), tables(0.9), salt="s")
    item = {"at": at, "names": ["cka"], "kind": judging.ATTACK, "pair": 0}
    judging.judged(item)
    monkeypatch.setattr(judging, "load_tables", None)
    judging.judged(item)
    place, full = judging.judged_place(at, judging.ATTACK, 0, ["cka"]), models.folders(tmp_path, "full")
    assert place != judging.judged_place(at, judging.ATTACK, 0, ["alias"])
    assert place != judging.judged_place(full, judging.ATTACK, 0, ["cka"]), "another budget is another verdict"


def test_the_models_do_not_hang_on_the_code_that_only_measures():
    measuring = ("metrics", "attacks", "evaluation")
    assert not [name for name in models.MODELS if name.startswith(measuring)]
    assert set(models.MODELS) < set(models.SCORED) < set(models.ATTACKED) < set(models.JUDGED)


def test_the_plan_counts_what_is_there(tmp_path):
    given = Namespace(pairs=2, attacked=1, parts=("tables", "attacks"), budget="quick")
    at = models.folders(tmp_path, "quick")
    stages = trust.stages_of(at, given)
    assert [stage.name for stage in stages] == ["models", "models", "scores", "judging", "attacks", "judging"]
    assert [len(stage.items) for stage in stages] == [8, 2, 10, 2, len(attacks.names()), 1]
    models.score_place(at, 0, "never").mkdir(parents=True)
    assert "scores: 10, of which 9 to do" in trust.plan_of(trust.stages_of(at, given))


def test_yes_needs_every_pair_and_few_errors_of_both_kinds():
    good, clean = ["failed"] * 20, ["earned"] * 20
    assert row(good, clean).trust == "yes"
    assert row(good[1:], clean[1:], ["gone"]).trust == "unclear"
    assert row(good, ["failed"] * 3 + clean[3:]).trust == "unclear", "15 % of false alarms are no reason for trust"
    assert row(good, ["failed"] * 12 + clean[12:]).trust == "no"
    assert row(["earned"] * 8 + good[8:], clean).trust == "no"
    agreed = row(good, clean).statuses
    one_kind = {**agreed, "retrained": row(good, ["failed"] * 12 + clean[12:]).statuses["retrained"]}
    assert judging.Row("cka", margins.SHARE, one_kind).trust == "no", "one kind of false alarm is not averaged away"
    assert row([], [], ["gone"]).trust == "not measured"
    assert trust_page.doubted([row(["earned"] * 8 + good[8:], clean)])[0].startswith("privacy_default lists")


def shared_out(status, tenths, pairs=12):
    """Verdicts of so many pairs, each with so many tenths of a status on its splits."""
    rest = "failed" if status == "earned" else "earned"
    return [[status] * tenths + [rest] * (splits.SPLITS - tenths)] * pairs


@pytest.mark.parametrize(
    ("caught", "missed", "alarm", "trust"),
    [
        (10, 0, 0, "yes"),
        (6, 0, 0, "unclear"),
        (5, 0, 0, "no"),
        (3, 0, 0, "no"),
        (8, 2, 0, "unclear"),
        (7, 3, 0, "no"),
        (10, 0, 2, "unclear"),
        (10, 0, 3, "no"),
    ],
)
def test_what_errs_on_average_is_a_no_and_unclear_is_only_too_wide_an_interval(caught, missed, alarm, trust):
    open_ = splits.SPLITS - caught - missed
    learned = [["failed"] * caught + ["earned"] * missed + ["inconclusive"] * open_] * 12
    clean = shared_out("failed", 0)
    statuses = {"trained": learned, "never": clean, "retrained": shared_out("failed", alarm)}
    assert judging.Row("cka", margins.SHARE, statuses).trust == trust
    assert judging.Row("cka", margins.SHARE, statuses, ["gone"]).trust == ("unclear" if trust == "yes" else trust)


def test_one_split_more_than_a_fifth_is_a_no():
    clean = shared_out("failed", 0)
    at = shared_out("failed", 2)
    above = [*at[:-1], *shared_out("failed", 3, 1)]
    found = [
        judging.Row("cka", margins.SHARE, {"trained": shared_out("failed", 10), "never": never, "retrained": clean})
        for never in (at, above)
    ]
    assert [row.trust for row in found] == ["unclear", "no"]


@pytest.mark.parametrize(
    "more",
    [
        ["--parts", "tables"],
        ["--parts", "tables", "attacks"],
        ["--pairs", "19"],
        ["--attacked", "11"],
        ["--shadowed", "7"],
        ["--parts", "attacks", "--dry-run"],
    ],
)
def test_a_partial_or_small_run_is_refused_as_what_ships_before_anything_runs(more, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(trust, "folders", None)
    keep = tmp_path / "trust.json"
    monkeypatch.setattr("sys.argv", ["trust", "--out", str(tmp_path / "run"), "--keep", str(keep), *more])
    with pytest.raises(SystemExit, match="2"):
        trust.main()
    assert "--keep writes what ships" in capsys.readouterr().err and not list(tmp_path.iterdir())
    parts = ["--parts", *trust.PARTS[::-1]]
    monkeypatch.setattr("sys.argv", ["trust", "--keep", str(keep), *parts, "--pairs", "30"])
    assert trust.options().keep == keep


def test_the_package_keeps_what_the_page_says():
    good, clean = ["failed"] * 20, ["earned"] * 20
    kept = trust_page.packaged([row(good, clean), judging.Row("lira", margins.SHARE, row([], []).statuses, ["why"])])
    assert kept["names"]["paraphrase"]["trust"] == "yes" and kept["names"]["paraphrase"]["caught"][0] == 1.0
    assert kept["names"]["lira"]["why"] == "why" and kept["code"].startswith("sha256:")
    facts = {"pairs": 20, "attacked": 12, "budget": "quick"}
    text = trust_page.notes(facts, {"models": 60.0, "scores": 10.0, "attacks": 50.0, "judging": 20.0})
    assert "60 for the training" in text and "half of it, 40\nminutes" in text
