"""Where a quirk of the peer matters, our default gives another number."""

import json

import numpy as np
import pytest
import torch

from expunge import metrics, objectives
from expunge.compat import open_unlearning as peer
from expunge.compat import open_unlearning_evaluation as evaluation


def lengths_mask(batch):
    """Attention from lengths: everything but the padding behind the last label."""
    positions = torch.arange(batch["labels"].shape[1])
    last = torch.where(batch["labels"] != peer.IGNORED, positions, -1).max(1).values
    return (positions[None, :] <= last[:, None]).long()


def test_padding_changes_the_peers_kl_and_not_ours(models, batches, logits_of):
    batch = batches["B"]["retain"]
    wide = {
        "input_ids": torch.nn.functional.pad(batch["input_ids"], (0, 40), value=batches["B"]["pad"]),
        "labels": torch.nn.functional.pad(batch["labels"], (0, 40), value=peer.IGNORED),
        "attention_mask": torch.nn.functional.pad(batch["attention_mask"], (0, 40)),
    }
    peers, ours = [], []
    for form in (batch, wide):
        policy, reference = (logits_of(models[who], form) for who in ("policy", "reference"))
        peers.append(peer.kl(policy, reference).item())
        scored = form["labels"][:, 1:] != peer.IGNORED
        ours.append(objectives.kl(policy[:, :-1][scored], reference[:, :-1][scored]).mean().item())
    assert abs(peers[1] - peers[0]) > 0.03 * peers[0]
    assert ours[1] == pytest.approx(ours[0], rel=1e-5)
    assert abs(ours[0] - peers[0]) > 0.01 * peers[0]


def test_hidden_end_tokens_change_the_likelihood(models, batches, logits_of):
    batch, pad = batches["A"]["forget"], batches["A"]["pad"]
    ours = lengths_mask(batch)
    assert (ours > batch["attention_mask"]).any() and not (ours < batch["attention_mask"]).any()
    seen, hidden = (
        peer.nll_sum(logits_of(models["policy"], batch, mask), batch["labels"])[0]
        for mask in (ours, peer.attention_mask(batch["input_ids"], pad))
    )
    assert (seen - hidden).abs().min() > 1e-3
    # Where pad and end differ the two masks are one.
    other = batches["B"]["forget"]
    assert torch.equal(lengths_mask(other), other["attention_mask"])


def test_micro_batches_change_the_peers_mean_and_not_ours(models, batches, logits_of, close):
    batch = batches["A"]["forget"]
    logits, labels = logits_of(models["policy"], batch), batch["labels"]
    whole = peer.nll(logits, labels)
    split = peer.accumulated([peer.nll(logits[i : i + 1], labels[i : i + 1]) for i in range(len(labels))])
    assert abs(split - whole) > 0.02
    parts = [peer.answer_logp(logits[i : i + 1], labels[i : i + 1]) for i in range(len(labels))]
    ours = sum(objectives.nll(logp).sum() for logp, _ in parts) / sum(counts.sum() for _, counts in parts)
    close(ours, whole)


@pytest.fixture(scope="module")
def forget_log(golden):
    """The peer's per-item log and the token ids that it scored."""
    log = json.loads((golden / "llm" / "eval_expected" / "tofu_reference_model_EVAL.json").read_text())
    ids = json.loads((golden / "llm" / "eval_tokenized.json").read_text())
    return log["mia_min_k"]["forget"]["value_by_index"], ids["tofu"]["forget10_perturbed"], ids["pad_token_id"]


def test_min_k_drops_the_last_token(models, logits_of, forget_log, close):
    want, rows, pad = forget_log
    peers, ours, expected = [], [], []
    for index, row in enumerate(rows[:8]):
        answer = row["answer"][0]
        ids = torch.tensor([answer["input_ids"]])
        labels = torch.where(torch.arange(ids.shape[1]) < answer["prompt_len"], peer.IGNORED, ids)
        batch = {"input_ids": ids, "labels": labels}
        logits = logits_of(models["reference"], batch, peer.attention_mask(batch["input_ids"], pad))
        token_logp, counts = peer.answer_logp(logits, batch["labels"])
        mask = np.ones((1, int(counts)))
        peers += evaluation.mia_min_k(token_logp.numpy(), mask).tolist()
        ours += (-metrics.min_k(token_logp.numpy(), mask)).tolist()
        expected.append(want[str(index)]["score"])
    close(peers, expected)
    assert np.abs(np.array(ours) - expected).max() > 0.01
