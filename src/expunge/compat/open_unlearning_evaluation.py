"""locuslab/open-unlearning (December 2025): its evaluation of TOFU and MUSE, quirks included.

A ``Sequence`` here is what the peer's tokenised log holds: the ids of prompt and answer, and where the answer starts.
Each function says what it does that ours does not. What has no quirk is ours: ``probability``, ``truth_ratio``,
``exact_memorization``, the ROUGE scores.

* Real end tokens are hidden from attention where the pad token is the end token (``token_table``, ``greedy``).
* Scores of single tokens drop the last scored token, which is not always the end token (``without_last``).
* Attacks are signed so that higher means less likely a member, and the AUC is that of holdout above forget.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from expunge.compat.open_unlearning import attention_mask
from expunge.data.collate import Batch, Encoded, by_length, collate
from expunge.engine.score import STEMS, token_columns
from expunge.engine.views import run_states
from expunge.metrics._answers import mean_logp
from expunge.metrics._resamples import rank_auc
from expunge.metrics.exact_memorization import exact_memorization as our_exact_memorization
from expunge.metrics.extraction_strength import extraction_strength as our_extraction_strength
from expunge.metrics.loss import loss as our_loss
from expunge.metrics.min_k import min_k as our_min_k
from expunge.metrics.min_k_plus_plus import min_k_plus_plus as our_min_k_plus_plus
from expunge.metrics.model_utility import model_utility as our_model_utility
from expunge.metrics.truth_ratio import truth_ratio as our_truth_ratio
from expunge.metrics.zlib_ratio import compressed
from expunge.ops.answer import flat_logp
from expunge.targets.model_facts import facts_of

BUDGET = 4096
TINY = 1e-10
Table = dict[str, np.ndarray]


def _masked(items: Sequence[Encoded], pad: int, device: Any) -> Batch:
    batch = collate(items, pad=pad)
    hidden = {"attention_mask": attention_mask(batch.input_ids, pad)}
    return Batch(**{**{name: getattr(batch, name) for name in Batch.__dataclass_fields__}, **hidden}).to(device)


def token_table(model: Any, items: Sequence[Encoded], pad: int) -> Table:
    """The columns ``token_logp, token_hit, token_mu, token_sigma, mask`` of each sequence.

    Quirk: attention comes from comparing ids with the pad id, which hides real end tokens where the two are one.

    Args:
        model: a transformers causal LM.
        items: B sequences.
        pad: id of the pad token.

    Returns:
        column -> (B, T).
    """
    facts, device = facts_of(model), next(model.parameters()).device
    longest = max(item.n_scored for item in items)
    table = {stem: np.zeros((len(items), longest), dtype=np.float32) for stem in (*STEMS, "mask")}
    with torch.no_grad():
        for positions in by_length([len(item.ids) for item in items], BUDGET):
            batch = _masked([items[i] for i in positions], pad, device)
            states = run_states(model, facts, batch, final=True, layers=())
            columns = token_columns(facts.head(model)(states.final), batch.labels, STEMS)
            columns["mask"] = torch.ones_like(columns["token_logp"])
            for stem, flat in columns.items():
                for i, part in zip(positions, flat.float().cpu().split(batch.counts.tolist()), strict=True):
                    table[stem][i, : len(part)] = part.numpy()
    return table


def stacked(tables: Sequence[Table], suffix: str) -> Table:
    """K wrong answers a question as one table: ``token_logp_perturbed`` (B, K, T) and so on.

    >>> two = [{"token_logp": np.array([[-1.0]])}, {"token_logp": np.array([[-2.0, -3.0]])}]
    >>> stacked(two, "_perturbed")["token_logp_perturbed"].tolist()
    [[[-1.0, 0.0], [-2.0, -3.0]]]
    """
    longest = max(table["token_logp"].shape[1] for table in tables)

    def wide(column: np.ndarray) -> np.ndarray:
        return np.pad(column, ((0, 0), (0, longest - column.shape[1])))

    return {f"{stem}{suffix}": np.stack([wide(table[stem]) for table in tables], axis=1) for stem in tables[0]}


def without_last(mask: Any) -> np.ndarray:
    """The mask less the last scored token of each row.

    >>> without_last([[1, 1, 1, 0], [1, 0, 0, 0]]).astype(int).tolist()
    [[1, 1, 0, 0], [0, 0, 0, 0]]
    """
    on_BT = np.asarray(mask) > 0
    return on_BT & (np.cumsum(on_BT, axis=-1) != on_BT.sum(-1, keepdims=True))


def probability_w_options(right: Any, wrong: Any) -> np.ndarray:
    """Probability among options. Quirk: 1e-10 in the denominator, so that very unlikely answers tend to 0.

    Args:
        right: (B,) probability per token of the right answer.
        wrong: (B, K) of the wrong ones.

    >>> probability_w_options(np.array([3e-10]), np.array([[1e-10, 1e-10]]))  # 3 / (3 + 2 + 1)
    array([0.5])
    """
    return np.asarray(right) / (np.asarray(right) + np.asarray(wrong).sum(1) + TINY)


def closer_to_1_better(ratio: Any) -> np.ndarray:
    """The truth ratio on forget as the peer averages it: min(R, 1 / (R + 1e-10)).

    >>> closer_to_1_better([0.25, 4.0]).round(6).tolist()
    [0.25, 0.25]
    """
    return np.minimum(ratio, 1 / (np.asarray(ratio) + TINY))


def true_better(ratio: Any) -> np.ndarray:
    """The truth ratio on what is kept: max(0, 1 - R), as our ``truth_score``.

    >>> true_better([0.25, 4.0]).tolist()
    [0.75, 0.0]
    """
    return np.maximum(0.0, 1 - np.asarray(ratio))


def truth_ratio(right: Table, wrong: Table) -> np.ndarray:
    """R = w / (c + 1e-10), our ``truth_ratio``, of a table of right answers and one of K wrong ones each."""
    return our_truth_ratio(right["token_logp"], right["mask"], wrong["token_logp_perturbed"], wrong["mask_perturbed"])


def prob_mean(right: Table, wrong: Table) -> np.ndarray:
    """c / (c + w + 1e-10) with c and w as in the truth ratio."""
    c_B = np.exp(mean_logp(right["token_logp"], right["mask"]))
    w_B = np.exp(mean_logp(wrong["token_logp_perturbed"], wrong["mask_perturbed"]).mean(1))
    return c_B / (c_B + w_B + TINY)


def ks_test(ratios: Any, ratios_retain: Any) -> float:
    """Forget quality: the p-value of scipy's two-sided two-sample test. Ours states the distance first.

    >>> ks_test([0.1, 0.2, 0.9, 1.1], [1.2, 1.3, 1.4, 1.5])  # D = 1: 2 / C(8, 4)
    0.02857...
    """
    from scipy.stats import ks_2samp

    found: Any = ks_2samp(ratios, ratios_retain)
    return float(found.pvalue)


def model_utility(parts: Sequence[float]) -> float:
    """The harmonic mean of means, all nine of them. Ours leaves out those on which the original is at chance.

    >>> round(model_utility([0.2, 0.4, 0.6]), 4)  # 3 / (5 + 2.5 + 1.667)
    0.3273
    """
    return float(our_model_utility({("model", "part", f"{k:04d}"): [part] for k, part in enumerate(parts)}))


def exact_memorization(token_hit: Any, mask: Any) -> np.ndarray:
    """Our ``exact_memorization``. Quirk: without the last scored token.

    >>> exact_memorization([[1, 0, 1]], [[1, 1, 1]])
    array([0.5])
    """
    return our_exact_memorization(token_hit, without_last(mask))


def extraction_strength(token_hit: Any, mask: Any) -> np.ndarray:
    """Our ``extraction_strength``. Quirks: without the last scored token; at least 1 / n, 0 only where n is 0.

    >>> extraction_strength([[1, 1, 0, 0, 1]], [[1, 1, 1, 1, 1]])  # nothing follows: 1 / 4
    array([0.25])
    """
    kept_BT = without_last(mask)
    n_B = kept_BT.sum(1)
    found_B = our_extraction_strength(token_hit, kept_BT)
    return np.where(n_B > 0, np.maximum(found_B, 1 / np.maximum(n_B, 1)), 0.0)


def mia_loss(token_logp: Any, mask: Any) -> np.ndarray:
    """``mia_loss``: the mean negative log-likelihood, the last token counted.

    >>> mia_loss([[-1.0, -2.0]], [[1, 1]])
    array([1.5])
    """
    return -our_loss(token_logp, mask)


def mia_zlib(token_logp: Any, mask: Any, text: Sequence[str]) -> np.ndarray:
    """``mia_zlib``: the loss over the bytes of the compressed answer.

    >>> mia_zlib([[-1.0, -2.0]], [[1, 1]], ["aaaa aaaa aaaa aaaa aaaa aaaa"])
    array([0.09375])
    """
    return mia_loss(token_logp, mask) / np.array([compressed(answer) for answer in text])


def mia_min_k(token_logp: Any, mask: Any, *, k: float = 0.4) -> np.ndarray:
    """``mia_min_k``. Quirk: without the last scored token.

    >>> mia_min_k([[-1.0, -4.0, -2.0, -0.5, -3.0]], [[1, 1, 1, 1, 1]], k=0.5)  # of the first four: (4 + 2) / 2
    array([3.])
    """
    return -our_min_k(token_logp, without_last(mask), k=k)


def mia_min_k_plus_plus(table: Mapping[str, Any], *, k: float = 0.4) -> np.ndarray:
    """``mia_min_k_plus_plus``. Quirk: without the last scored token. Its variance of at least 1e-6 is ours."""
    columns = (table[name] for name in ("token_logp", "token_mu", "token_sigma"))
    return -our_min_k_plus_plus(*columns, without_last(table["mask"]), k=k)


def mia_reference(table: Mapping[str, Any], reference: Mapping[str, Any]) -> np.ndarray:
    """``mia_reference``: the loss less that of another model."""
    ours, theirs = (mia_loss(t["token_logp"], t["mask"]) for t in (table, reference))
    return ours - theirs


def mia_gradnorm(model: Any, items: Sequence[Encoded], pad: int) -> np.ndarray:
    """``mia_gradnorm``: the gradient of the mean negative log-likelihood of one sequence.

    Quirks: without the last scored token, in training mode (dropout on, if there is any), and the mean over parameter
    tensors of their norms, so that a bias counts as much as an embedding. Ours is one norm over all weights.
    """
    facts, device = facts_of(model), next(model.parameters()).device
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    was_training, norms = model.training, []
    model.train()
    for item in items:
        batch = _masked([item], pad, device)
        states = run_states(model, facts, batch, final=True, layers=())
        loss = -flat_logp(facts.head(model)(states.final), batch.labels)[:-1].mean()
        norms.append(np.mean([float(g.norm()) for g in torch.autograd.grad(loss, trained)]))
    model.train(was_training)
    return np.array(norms)


def auc(forget: Any, holdout: Any) -> float:
    """AUC of an attack as the peer reports it: near 1 where forget is memorised.

    >>> auc([1.0, 2.0], [1.5, 3.0])
    0.75
    """
    high_B, low_B = np.asarray(holdout, dtype=np.float64), np.asarray(forget, dtype=np.float64)
    return float(rank_auc(high_B, low_B, np.ones(len(high_B)), np.ones(len(low_B))))


def privleak(auc_min_k: float, auc_retain: float = 0.5) -> float:
    """``privleak``: our ``privleak`` of two AUCs as the peer states them, each turned around.

    Quirks: 0.5 stands for a reference that was not measured, and 1e-10 in the denominator.

    >>> round(privleak(0.75, 0.375), 2)  # 100 (0.25 - 0.625) / 0.625
    -60.0
    """
    found, expected = 1 - auc_min_k, 1 - auc_retain
    return (found - expected) / (expected + TINY) * 100


def rel_diff(auc_min_k: float, auc_retain: float) -> float:
    """The same of the AUCs as they stand.

    >>> round(rel_diff(0.75, 0.5), 2)
    50.0
    """
    return (auc_min_k - auc_retain) / (auc_retain + TINY) * 100


def greedy(
    model: Any, tokenizer: Any, prompts: Sequence[Sequence[int]], pad: int, *, limit: int, stops: Sequence[str] = ()
) -> list[str]:
    """What the peer lets a model say: greedy, cut at the first stop word, stripped.

    Quirk: end tokens inside the prompt are hidden from attention, and do not count as positions either.

    Args:
        model: a transformers causal LM.
        tokenizer: its tokenizer.
        prompts: token ids, at least one prompt.
        pad: id of the pad token, which also fills on the left.
        limit: new tokens at most.
        stops: texts at which an answer ends.
    """
    from transformers import GenerationConfig

    device, end = next(model.parameters()).device, tokenizer.eos_token_id
    settings = GenerationConfig(max_new_tokens=limit, do_sample=False, eos_token_id=end, pad_token_id=pad)
    longest = max(len(prompt) for prompt in prompts)
    ids = torch.tensor([[pad] * (longest - len(prompt)) + list(prompt) for prompt in prompts]).to(device)
    with torch.no_grad():
        out = model.generate(input_ids=ids, attention_mask=attention_mask(ids, pad), generation_config=settings)
    texts: list[str] = []
    for row in out[:, longest:]:
        said = tokenizer.decode(row, skip_special_tokens=True)
        for stop in stops:
            said = said.partition(stop)[0]
        texts.append(said.strip())
    return texts
