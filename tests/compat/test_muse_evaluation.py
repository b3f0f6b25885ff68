"""The peer's MUSE numbers of a model in training, per item and in aggregate, come out when its quirks are on."""

import json

import numpy as np
import pytest
from transformers import AutoTokenizer

from expunge import metrics
from expunge.compat import open_unlearning_evaluation as peer
from expunge.data.collate import Encoded

pytestmark = pytest.mark.slow

ATTACKS = ("mia_loss", "mia_zlib", "mia_min_k", "mia_min_k_plus_plus", "mia_reference", "mia_gradnorm")


@pytest.fixture(scope="module")
def muse(golden):
    folder = golden / "llm"
    tokens = json.loads((folder / "eval_tokenized.json").read_text())
    log = json.loads((folder / "eval_expected" / "muse_policy_EVAL.json").read_text())
    return log, tokens["muse"], tokens["pad_token_id"], AutoTokenizer.from_pretrained(folder / "model_reference")


def items_of(rows):
    return [Encoded(str(i), tuple(r["input_ids"]), r["labels_ignored_prefix"]) for i, r in enumerate(rows)]


def logged(part, field="score"):
    values = part["value_by_index"]
    return [values[str(i)][field] for i in range(len(values))]


def test_verbatim_memorization(muse, models, close):
    log, rows, pad, _ = muse
    table = peer.token_table(models["policy"], items_of(rows["verbmem_forget"]), pad)
    for name in ("exact_memorization", "extraction_strength"):
        found = getattr(peer, name)(table["token_hit"], table["mask"])
        close(found, logged(log[name]))
        close(found.mean(), log[name]["agg_value"])


@pytest.fixture(scope="module")
def attacks(muse, models):
    _, rows, pad, tokenizer = muse
    found = {}
    for name in ("forget", "holdout"):
        items = items_of(rows[f"privleak_{name}"])
        table, reference = (peer.token_table(models[who], items, pad) for who in ("policy", "reference"))
        pair = (table["token_logp"], table["mask"])
        texts = [tokenizer.decode(i.ids[i.n_prompt :], skip_special_tokens=True) for i in items]
        found[name] = {
            "mia_loss": peer.mia_loss(*pair),
            "mia_zlib": peer.mia_zlib(*pair, texts),
            "mia_min_k": peer.mia_min_k(*pair),
            "mia_min_k_plus_plus": peer.mia_min_k_plus_plus(table),
            "mia_reference": peer.mia_reference(table, reference),
            "mia_gradnorm": peer.mia_gradnorm(models["policy"], items, pad),
        }
    return found


@pytest.mark.parametrize("attack", ATTACKS)
def test_attacks(muse, attacks, attack, close):
    log = muse[0][attack]
    for name in ("forget", "holdout"):
        close(attacks[name][attack], logged(log[name]))
        close(attacks[name][attack].mean(), log[name]["agg_value"])
    close(peer.auc(attacks["forget"][attack], attacks["holdout"][attack]), log["agg_value"])


def test_privleak(muse, attacks, close):
    found = peer.auc(attacks["forget"]["mia_min_k"], attacks["holdout"]["mia_min_k"])
    close(peer.privleak(found), muse[0]["privleak"]["agg_value"])


@pytest.mark.parametrize("name", ["forget_knowmem", "retain_knowmem", "forget_verbmem"])
def test_what_is_said(muse, models, name, close):
    log, rows, pad, tokenizer = muse
    role, _, kind = name.partition("_")
    key = f"{name}_ROUGE"
    knows = kind == "knowmem"
    found = rows[f"{kind}_{role}"]
    # The prompt is tokenised alone: a token of prompt and answer together may straddle their border.
    prompts = [tokenizer(text)["input_ids"] for text in logged(log[key], "input")]
    assert [len(prompt) for prompt in prompts] == [r["prompt_len" if knows else "labels_ignored_prefix"] for r in found]
    stops = [tokenizer.eos_token, *(["\n\n", "\nQuestion", "Question:"] if knows else [])]
    said = peer.greedy(models["policy"], tokenizer, prompts, pad, limit=32 if knows else 128, stops=stops)
    assert said == logged(log[key], "generation")
    truth = logged(log[key], "ground_truth")
    for field, score in (("rouge1_recall", "rouge_1"), ("rougeL_recall", "rouge_l"), ("rougeL_f1", "rouge_l_f1")):
        close(getattr(metrics, score)(truth, said), logged(log[key], field))
    close(metrics.rouge_l_f1(truth, said).mean(), log[key]["agg_value"])


def test_texts_alone(golden, close):
    cases = json.loads((golden / "llm" / "text_expected.json").read_text())
    for case in cases["rouge"]:
        pair = ([case["reference"]], [case["generation"]])
        for field, score in (("rouge1_recall", "rouge_1"), ("rougeL_recall", "rouge_l"), ("rougeL_f1", "rouge_l_f1")):
            close(getattr(metrics, score)(*pair), [case[field]])
    for case in cases["zlib"]:
        close(peer.mia_zlib(np.array([[-case["loss"]]]), [[1]], [case["text"]]), [case["score"]])
        close(-metrics.zlib_ratio(np.array([[-case["loss"]]]), [[1]], [case["text"]]), [case["score"]])
