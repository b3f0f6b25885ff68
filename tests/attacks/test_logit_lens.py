"""The lens reads inner layers as the model reads its last one, and chooses its layer on retained records."""

import numpy as np
import pytest
import torch

from expunge.attacks.logit_lens import lens_probabilities, logit_lens
from expunge.core.access import Access
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


def test_the_layer_is_the_best_below_the_last_on_retained_records(knowing, unknowing):
    rows = logit_lens.run(knowing.oracle(Access.all()), FORGET, seed=0, retain=SELECTION.retain)
    assert set(rows[0]) == {"record_id", "subject", "outcome", "layer_1", "layer_2"}
    assert all(row["outcome"] == row["layer_1"] for row in rows)
    never = logit_lens.run(unknowing.oracle(Access.all()), FORGET, seed=0, retain=SELECTION.retain)
    assert np.mean([row["outcome"] for row in rows]) > np.mean([row["outcome"] for row in never]) + 0.05
    deep = toy_model(layers=4)
    kept = lens_probabilities(deep, SELECTION.retain).mean(0)
    inner = 1 + int(kept[:3].argmax())
    chosen = logit_lens.run(deep.oracle(Access.all()), FORGET, seed=0, retain=SELECTION.retain)
    assert all(row["outcome"] == row[f"layer_{inner}"] for row in chosen)


def test_a_model_of_one_layer_is_read_there():
    target = toy_model(layers=1)
    rows = logit_lens.run(target.oracle(Access.all()), FORGET, seed=0, retain=SELECTION.retain)
    assert all(row["outcome"] == row["layer_1"] for row in rows)
