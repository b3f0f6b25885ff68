"""The likelihood scores of the Min-K%++ authors' code: ours without any quirk."""

import json

import numpy as np
import pytest
import torch

from expunge.metrics import min_k, probability


@pytest.fixture(scope="module")
def authors(golden):
    return json.loads((golden / "concept" / "minkpp.json").read_text())


@pytest.fixture(scope="module")
def table(authors, tiny, logits_of):
    """token_logp and mask (B, T): every character after the start token is scored."""
    model, rows = tiny("cur"), []
    for text in authors["texts"]:
        ids = torch.tensor([[1, *(3 + authors["alphabet"].index(letter) for letter in text)]])
        logits = logits_of(model, {"input_ids": ids, "attention_mask": torch.ones_like(ids)})
        rows.append(logits[0, :-1].log_softmax(-1).gather(1, ids[0, 1:, None])[:, 0].numpy())
    mask = np.arange(max(map(len, rows)))[None, :] < np.array([len(row) for row in rows])[:, None]
    token_logp = np.zeros(mask.shape)
    token_logp[mask] = np.concatenate(rows)
    return token_logp, mask


def test_loss(authors, table, close):
    close(np.log(probability(*table)), authors["scores"]["loss"])


@pytest.mark.parametrize("ratio", [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0])
def test_min_k(authors, table, ratio, close):
    close(min_k(*table, k=ratio), authors["scores"][f"mink_{ratio}"])
