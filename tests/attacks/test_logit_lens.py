"""The lens reads inner layers as the model reads its last one, and chooses its layer on retained records."""

import numpy as np
import pytest
import torch

from expunge.attacks.logit_lens import lens_probabilities, logit_lens
from expunge.core.access import Access
from expunge.core.errors import EvidenceError
from expunge.engine.score import score
from expunge.testing.toy import toy_model, toy_selection

SELECTION = toy_selection()
FORGET = SELECTION.forget


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "gemma2"])
def test_the_last_layer_gives_what_the_model_says(architecture):
    target = toy_model(architecture=architecture, layers=3)
    table = score(target, FORGET, ("token_logp", "mask"))
    want = (np.exp(table["token_logp"]) * table["mask"]).sum(1) / table["mask"].sum(1)
    found = lens_probabilities(target, FORGET)
    assert found.shape == (len(FORGET), 3)
    assert found[:, -1] == pytest.approx(want, rel=1e-5)
    alone = np.concatenate([lens_probabilities(target, FORGET[i : i + 1]) for i in range(len(FORGET))])
    assert found == pytest.approx(alone, rel=1e-4)


def test_an_inner_layer_is_read_through_the_norm_and_the_head():
    target = toy_model(layers=2)
    item = target.template.encode_all(FORGET[:1])[0]
    seen = []
    handle = target.model.base_model.layers[0].register_forward_hook(lambda m, i, output: seen.append(output))
    with torch.no_grad():
        target.model(input_ids=torch.tensor([item.ids]))
        handle.remove()
        logits = target.model.lm_head(target.model.base_model.norm(seen[0][0, item.n_prompt - 1 : -1]))
    want = logits.softmax(1)[range(item.n_scored), item.ids[item.n_prompt :]].mean()
    assert lens_probabilities(target, FORGET[:1])[0, 0] == pytest.approx(float(want), rel=1e-5)


def run(target, original):
    oracles = target.oracle(Access.all()), original.oracle(Access.all())
    return logit_lens.run(oracles[0], FORGET, seed=0, original=oracles[1], retain=SELECTION.retain)


def test_a_model_that_knows_is_read_better_than_one_that_does_not(knowing, unknowing):
    rows, never = run(knowing, knowing), run(unknowing, knowing)
    assert set(rows[0]) == {"record_id", "subject", "outcome", "layer_1", "layer_2"}
    assert all(row["outcome"] == row["layer_1"] for row in rows)
    assert np.mean([row["outcome"] for row in rows]) > np.mean([row["outcome"] for row in never]) + 0.05


def test_every_model_is_read_at_the_layer_that_is_best_below_the_last_in_the_original():
    models = [toy_model(layers=4, seed=seed) for seed in range(6)]
    best = [1 + int(lens_probabilities(m, SELECTION.retain).mean(0)[:3].argmax()) for m in models]
    other = next(i for i, layer in enumerate(best) if layer != best[0])
    for target, original in ((0, 0), (0, other), (other, 0)):
        rows = run(models[target], models[original])
        assert all(row["outcome"] == row[f"layer_{best[original]}"] for row in rows)
    assert any(row[f"layer_{best[0]}"] != row[f"layer_{best[other]}"] for row in rows)


def test_a_model_of_one_layer_is_read_there_and_one_of_another_shape_is_refused():
    target = toy_model(layers=1)
    assert all(row["outcome"] == row["layer_1"] for row in run(target, target))
    with pytest.raises(EvidenceError, match="cannot be compared"):
        run(target, toy_model(layers=2))
