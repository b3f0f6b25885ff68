"""The peer's numbers come out when its quirks are on."""

import pytest
import torch

from expunge.compat import open_unlearning as peer


@pytest.fixture(scope="module")
def logits(models, batches, logits_of):
    """Logits by (batch, part, model)."""
    return {
        (name, part, who): logits_of(model, case[part])
        for name, case in batches.items()
        for part in ("forget", "alternate", "retain")
        for who, model in models.items()
    }


@pytest.mark.parametrize("name", ["A", "B"])
def test_mask_is_that_of_the_peer(batches, name):
    for part in ("forget", "alternate", "retain"):
        batch = batches[name][part]
        mask = peer.attention_mask(batch["input_ids"], batches[name]["pad"])
        assert torch.equal(mask, batch["attention_mask"])


@pytest.mark.parametrize("name", ["A", "B"])
@pytest.mark.parametrize(
    ("part", "key"), [("forget", "forget_original"), ("alternate", "forget_alternate"), ("retain", "retain")]
)
def test_primitives(logits, batches, expected, name, part, key, close):
    want, labels = expected[name]["primitives"][key], batches[name][part]["labels"]
    for who in ("policy", "reference"):
        sums, counts = peer.nll_sum(logits[name, part, who], labels)
        close(sums, want[f"nll_sum_{who}"])
        assert counts.tolist() == want["n_label_tokens"]
        close(peer.nll(logits[name, part, who], labels), want[f"hf_mean_loss_{who}"])
    divergence = peer.kl(logits[name, part, "policy"], logits[name, part, "reference"])
    close(divergence, want["kl_ref_to_policy_batchmean_all_positions"])


CASES = ["GradAscent", "GradDiff_NLL", "GradDiff_KL", "NPO_NLL", "NPO_KL", "NPO_beta0.01", "DPO_NLL", "DPO_KL_beta0.02"]
SIMPLE = ["SimNPO_default", "SimNPO_delta0.5", "SimNPO_beta0.3_delta0.1", "SimNPO_KL_beta0.3"]


def forget_term(logits, batches, name, case, settings):
    """The peer's forget term of a case from the logits of one batch."""

    def sums(part):
        found = (
            peer.nll_sum(logits[name, part, who], batches[name][part]["labels"]) for who in ("policy", "reference")
        )
        return [nll for nll, _ in found]

    if case.startswith("NPO"):
        return peer.npo(*sums("forget"), beta=settings["beta"])
    if case.startswith("DPO"):
        return peer.dpo(*sums("forget"), *sums("alternate"), beta=settings["beta"])
    labels = batches[name]["forget"]["labels"]
    if case.startswith("SimNPO"):
        nll, counts = peer.nll_sum(logits[name, "forget", "policy"], labels)
        return peer.simnpo(nll, counts, beta=settings["beta"], delta=settings["delta"])
    return peer.grad_ascent(logits[name, "forget", "policy"], labels)


@pytest.mark.parametrize("case", [*CASES, *SIMPLE])
def test_losses(logits, batches, expected, case, close):
    name = "A"
    want, settings = expected[name][case], expected[name][case]["method_args"]
    forget = forget_term(logits, batches, name, case, settings)
    if case == "GradAscent":
        return close(forget, want["loss"])
    retain_policy, retain_reference = logits[name, "retain", "policy"], logits[name, "retain", "reference"]
    if settings["retain_loss_type"] == "KL":
        retain = peer.kl(retain_policy, retain_reference)
    else:
        retain = peer.nll(retain_policy, batches[name]["retain"]["labels"])
    close(forget, want["forget_loss"])
    close(retain, want["retain_loss"])
    return close(peer.total(forget, retain, gamma=settings["gamma"], alpha=settings["alpha"]), want["loss"])
