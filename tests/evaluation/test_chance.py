"""Chance levels and subsets: what utility is made of follows from the tables alone."""

import numpy as np
import pytest

from expunge.core.errors import EvidenceError
from expunge.evaluation.chance import exchanged, shuffled
from expunge.evaluation.contrast import Cast
from expunge.evaluation.per_item import PerItem, Unmeasured
from expunge.evaluation.utility import components, utility, utility_kept
from expunge.metrics.model_utility import model_utility

WORDS = ["amber", "basil", "cedar", "delta", "ember", "flint", "grove", "heron", "islet", "jasper"]
NAMES = {"model": "model", "reference": "reference", "second": "second", "original": "original", "untrained": "bare"}
ROWS = {"forget": 12, "retain": 40, "general": 60}


def table(role, *, knows, style=False, seed=0):
    """A table of one model: whether it knows each row's answer, and whether it says words that all answers share."""
    rows = ROWS[role]
    record = np.random.default_rng([len(role), rows])
    own = np.random.default_rng([len(role), rows, seed])
    knows = np.broadcast_to(knows, rows)
    text = ["born in " + " ".join(record.permutation(WORDS)[:4]) for _ in range(rows)]
    said = [
        "born in the " + t.removeprefix("born in ") if k else "born in" if style else "no"
        for t, k in zip(text, knows, strict=True)
    ]
    right = np.where(knows, -0.1, -2.2)[:, None] + own.normal(size=(rows, 3)) * 0.2
    wrong = -2.0 + own.normal(size=(rows, 3, 3)) * 0.2
    columns = {
        "ids": [f"{role}-{i:02d}" for i in range(rows)],
        "subjects": [f"{role}-{i:02d}" for i in range(rows)],
        "text": text,
        "generated": said,
        "token_logp": right,
        "mask": np.ones_like(right),
        "token_logp_paraphrase": right,
        "mask_paraphrase": np.ones_like(right),
        "token_logp_perturbed": wrong,
        "mask_perturbed": np.ones_like(wrong),
    }
    if role == "general":
        columns["subsets"] = ["real_authors" if i < rows // 2 else "world_facts" for i in range(rows)]
    return columns


def model(seed, *, forget, retain=True, general=True, style=True):
    knows = {"forget": forget, "retain": retain, "general": general}
    return {role: table(role, knows=known, style=style, seed=seed) for role, known in knows.items()}


def cast(original, **others):
    models = {
        "original": original,
        "model": original,
        "reference": model(2, forget=False),
        "second": model(3, forget=False),
    }
    return Cast(PerItem({**models, **others}), NAMES, 0.9, 200, 0)


def test_a_role_with_subsets_gives_the_nine_components_of_the_paper():
    found = components(cast(model(1, forget=True)))
    assert len(found.kept) == 9
    assert {role for role, _ in found.kept} == {"retain", "general/real_authors", "general/world_facts"}
    assert found.plain()["kept"][3:5] == [
        "real authors probability among options",
        "world facts probability among options",
    ]


def test_a_subset_that_the_original_does_not_know_is_left_out_and_the_other_stays():
    half = np.arange(ROWS["general"]) < ROWS["general"] // 2
    found = components(cast(model(1, forget=True, general=half)))
    assert {role for role, _ in found.kept} == {"retain", "general/real_authors"}
    reasons = dict(found.left_out)
    assert len(reasons) == 3
    assert "chance is 0.250: one of the options" in reasons["world facts probability among options"]
    assert "chance is 0.333: answers to other questions" in reasons["world facts ROUGE-L recall"]
    assert "wrong answers in the place of the right one" in reasons["world facts max(0, 1 - truth ratio)"]


def test_words_that_all_answers_share_are_no_knowledge():
    said = model(1, forget=True, retain=False, general=False)
    names = dict(components(cast(said)).left_out)
    assert "ROUGE-L" in "".join(names)
    assert len(names) == 9


def test_a_model_that_never_knew_sets_the_chance_of_retain():
    clever = model(2, forget=np.arange(12) < 9)
    found = components(cast(model(1, forget=True, retain=np.arange(40) < 26), reference=clever))
    assert "people who were never seen" in dict(found.left_out)["retain ROUGE-L recall"]


def test_every_row_of_a_table_has_the_same_components():
    models = {
        "original": model(1, forget=True),
        "reference": model(2, forget=False),
        "second": model(3, forget=np.arange(12) < 5),
    }
    items = PerItem({**models, "model": models["original"]})
    swapped = {**NAMES, "model": "reference", "reference": "second", "second": "reference"}
    assert components(Cast(items, NAMES, 0.9, 200, 0)) == components(Cast(items, swapped, 0.9, 200, 0))


def test_utility_over_subsets_is_their_harmonic_mean():
    world = cast(model(1, forget=True), model=model(4, forget=False, general=np.arange(60) < 45))
    kept = components(world).kept
    means = {("model", *component): world.items.values("model", *component)[0] for component in kept}
    assert utility(world, kept).value == pytest.approx(float(model_utility(means)))
    assert utility_kept(world, kept).value < 0.95


def test_the_order_of_rows_changes_no_chance():
    rng = np.random.default_rng(5)
    one = table("general", knows=np.arange(60) % 3 > 0)
    order = rng.permutation(60)
    other = {k: v[order] if isinstance(v, np.ndarray) else [v[i] for i in order] for k, v in one.items()}
    assert exchanged(other) == pytest.approx(exchanged(one))
    a, b = (PerItem({"m": {"general": t}}).values("m", "general/world_facts", "rouge_l") for t in (one, other))
    assert (a == b).all()


def test_an_exchange_of_options_is_level_for_one_who_knows_nothing():
    blind = table("general", knows=False, seed=9)
    rng = np.random.default_rng(3)
    for name in ("token_logp_paraphrase", "token_logp_perturbed"):
        blind[name] = -2.0 + rng.normal(size=blind[name].shape) * 0.5
    items = PerItem({"m": {"general": blind}})
    assert items.values("m", "general", "truth_score").mean() == pytest.approx(exchanged(blind), abs=0.04)


def test_without_the_columns_there_is_no_null():
    bare = {"ids": ["a"], "subjects": ["a"]}
    assert np.isnan(shuffled(bare))
    assert np.isnan(exchanged(bare))


def test_a_subset_that_one_model_names_and_another_does_not_is_refused():
    other = table("general", knows=True)
    del other["subsets"]
    items = PerItem({"m": {"general": table("general", knows=True)}, "n": {"general": other}})
    with pytest.raises(EvidenceError, match="has no subset world_facts"):
        items.values("n", "general/world_facts", "rouge_l")
    with pytest.raises(Unmeasured):
        items.values("m", "retain/world_facts", "rouge_l")
