"""Every TOFU number of the peer, per item and in aggregate, comes out when its quirks are on."""

import json
from functools import cached_property

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

from expunge import metrics
from expunge.compat import open_unlearning_evaluation as peer
from expunge.data.collate import Encoded
from expunge.engine.gradients import gradient_norms
from expunge.engine.prefix import sweep_alone
from expunge.ops.answer import flat_logp
from expunge.targets.model_facts import facts_of

pytestmark = pytest.mark.slow

SETS = {
    "forget": "forget10_perturbed",
    "retain": "retain_perturbed",
    "ra": "real_authors_perturbed",
    "wf": "world_facts_perturbed",
    "holdout": "holdout10",
}
PARAPHRASED = ("forget", "retain")
ASKED = ("forget", "retain", "ra", "wf")


class Suite:
    """The peer's inputs and log, and our tables of the reference model, each made when it is first asked for."""

    def __init__(self, folder, model) -> None:
        self.model, self.folder = model, folder
        self.log = json.loads((folder / "eval_expected" / "tofu_reference_model_EVAL.json").read_text())
        tokens = json.loads((folder / "eval_tokenized.json").read_text())
        self.rows, self.pad = tokens["tofu"], tokens["pad_token_id"]
        self.tokenizer = AutoTokenizer.from_pretrained(folder / "model_reference")
        self._tables = {}

    def items(self, name, field="answer", k=0) -> list[Encoded]:
        rows = [row[field][k] for row in self.rows[SETS[name]]]
        return [Encoded(str(i), tuple(row["input_ids"]), row["prompt_len"]) for i, row in enumerate(rows)]

    def table(self, name, field="answer", k=0):
        key = (name, field, k)
        if key not in self._tables:
            self._tables[key] = peer.token_table(self.model, self.items(*key), self.pad)
        return self._tables[key]

    def wrong(self, name):
        count = len(self.rows[SETS[name]][0]["perturbed_answer"])
        return peer.stacked([self.table(name, "perturbed_answer", k) for k in range(count)], "_perturbed")

    def right(self, name):
        return self.table(name, "paraphrased_answer" if name in PARAPHRASED else "answer")

    def ratio(self, name):
        return peer.truth_ratio(self.right(name), self.wrong(name))

    def items_of(self, key, field):
        found = self.log[key]["value_by_index"] if isinstance(key, str) else self.log[key[0]][key[1]]["value_by_index"]
        return [found[str(i)][field] for i in range(len(found))]

    def texts(self, name):
        return [self.tokenizer.decode(i.ids[i.n_prompt :], skip_special_tokens=True) for i in self.items(name)]

    @cached_property
    def said(self):
        """What the model says, by set."""
        settings = {"limit": 200, "stops": [self.tokenizer.eos_token]}
        return {
            name: peer.greedy(
                self.model, self.tokenizer, [i.ids[: i.n_prompt] for i in self.items(name)], self.pad, **settings
            )
            for name in ASKED
        }


@pytest.fixture(scope="module")
def suite(golden, models):
    return Suite(golden / "llm", models["reference"])


def probability(table):
    return metrics.probability(table["token_logp"], table["mask"])


@pytest.mark.parametrize("name", ASKED)
def test_probability(suite, name, close):
    table = suite.table(name)
    close(probability(table), suite.items_of(f"{name}_Q_A_Prob", "prob"))
    close(peer.mia_loss(table["token_logp"], table["mask"]), suite.items_of(f"{name}_Q_A_Prob", "avg_loss"))
    close(probability(table).mean(), suite.log[f"{name}_Q_A_Prob"]["agg_value"])


@pytest.mark.parametrize("name", PARAPHRASED)
def test_probability_of_the_paraphrase(suite, name, close):
    key = f"{name}_Q_A_PARA_Prob"
    close(probability(suite.right(name)), suite.items_of(key, "prob"))
    close(probability(suite.right(name)).mean(), suite.log[key]["agg_value"])


@pytest.mark.parametrize("name", ASKED)
def test_probability_of_wrong_answers(suite, name, close):
    wrong, key = suite.wrong(name), f"{name}_Q_A_PERT_Prob"
    found = metrics.probability(wrong["token_logp_perturbed"], wrong["mask_perturbed"])
    close(found, suite.items_of(key, "prob"))
    close(found.mean(1).mean(), suite.log[key]["agg_value"])


@pytest.mark.parametrize("name", ["ra", "wf"])
def test_probability_w_options(suite, name, close):
    wrong = suite.wrong(name)
    others = metrics.probability(wrong["token_logp_perturbed"], wrong["mask_perturbed"])
    found = peer.probability_w_options(probability(suite.table(name)), others)
    close(found, suite.items_of(f"{name}_Q_A_Prob_normalised", "prob"))
    close(found.mean(), suite.log[f"{name}_Q_A_Prob_normalised"]["agg_value"])


@pytest.mark.parametrize("name", ASKED)
def test_rouge(suite, name, close):
    key = f"{name}_Q_A_ROUGE"
    assert suite.said[name] == suite.items_of(key, "generation")
    truth = suite.items_of(key, "ground_truth")
    assert [text.strip() for text in suite.texts(name)] == truth
    for field, score in (("rouge1_recall", "rouge_1"), ("rougeL_recall", "rouge_l"), ("rougeL_f1", "rouge_l_f1")):
        close(getattr(metrics, score)(truth, suite.said[name]), suite.items_of(key, field))
    close(metrics.rouge_l(truth, suite.said[name]).mean(), suite.log[key]["agg_value"])


def test_truth_ratio(suite, close):
    for name, key, aggregate in (
        ("forget", "forget_truth_ratio", peer.closer_to_1_better),
        ("retain", "retain_Truth_Ratio", peer.true_better),
        ("ra", "ra_Truth_Ratio", peer.true_better),
        ("wf", "wf_Truth_Ratio", peer.true_better),
    ):
        ratio = suite.ratio(name)
        close(ratio, suite.items_of(key, "score"))
        close(aggregate(ratio).mean(), suite.log[key]["agg_value"])


def test_prob_mean_is_the_share_of_the_right_answer(suite, close):
    ratio = suite.ratio("forget")
    close(peer.prob_mean(suite.right("forget"), suite.wrong("forget")), 1 / (1 + ratio))


def test_model_utility(suite, close):
    parts = []
    for name in ("retain", "ra", "wf"):
        own = f"{name}_Q_A_Prob" if name == "retain" else f"{name}_Q_A_Prob_normalised"
        parts += [np.mean(suite.items_of(own, "prob")), metrics.rouge_l(suite.texts(name), suite.said[name]).mean()]
        parts.append(peer.true_better(suite.ratio(name)).mean())
    close(peer.model_utility(parts), suite.log["model_utility"]["agg_value"])
    assert len(parts) == 9


def test_exact_memorization_and_extraction_strength(suite, close):
    table = suite.table("forget")
    for name in ("exact_memorization", "extraction_strength"):
        found = getattr(peer, name)(table["token_hit"], table["mask"])
        close(found, suite.items_of(name, "score"))
        close(found.mean(), suite.log[name]["agg_value"])


@pytest.fixture(scope="module")
def attacks(suite):
    """{attack: {set: per-item scores}}"""
    found = {}
    for name in ("forget", "holdout"):
        table = suite.table(name)
        pair = (table["token_logp"], table["mask"])
        found[name] = {
            "mia_loss": peer.mia_loss(*pair),
            "mia_zlib": peer.mia_zlib(*pair, suite.texts(name)),
            "mia_min_k": peer.mia_min_k(*pair),
            "mia_min_k_plus_plus": peer.mia_min_k_plus_plus(table),
            "mia_reference": peer.mia_reference(table, table),
            "mia_gradnorm": peer.mia_gradnorm(suite.model, suite.items(name), suite.pad),
        }
    return found


@pytest.mark.parametrize(
    "attack", ["mia_loss", "mia_zlib", "mia_min_k", "mia_min_k_plus_plus", "mia_reference", "mia_gradnorm"]
)
def test_attacks(suite, attacks, attack, close):
    for name in ("forget", "holdout"):
        close(attacks[name][attack], suite.items_of((attack, name), "score"))
        close(attacks[name][attack].mean(), suite.log[attack][name]["agg_value"])
    found = peer.auc(attacks["forget"][attack], attacks["holdout"][attack])
    close(found, suite.log[attack]["auc"])
    close(found, suite.log[attack]["agg_value"])


def test_privleak(suite, attacks, close):
    found = peer.auc(attacks["forget"]["mia_min_k"], attacks["holdout"]["mia_min_k"])
    close(peer.privleak(found), suite.log["privleak"]["agg_value"])


def test_forget_quality_is_none_without_a_retain_model_and_1_against_itself(suite):
    assert suite.log["forget_quality"]["agg_value"] is None
    ratio = suite.ratio("forget")
    assert peer.ks_test(ratio, ratio) == 1.0
    scores = {("model", "forget", "truth_ratio"): ratio, ("reference", "forget", "truth_ratio"): ratio}
    assert metrics.forget_quality(scores) == 0.0


def test_every_number_of_the_log_was_asked_for(suite):
    tested = {f"{name}_Q_A_{part}" for name in ASKED for part in ("Prob", "PERT_Prob", "ROUGE")}
    tested |= {f"{name}_Q_A_PARA_Prob" for name in PARAPHRASED} | {f"{n}_Q_A_Prob_normalised" for n in ("ra", "wf")}
    tested |= {"forget_truth_ratio", "retain_Truth_Ratio", "ra_Truth_Ratio", "wf_Truth_Ratio", "model_utility"}
    tested |= {"exact_memorization", "extraction_strength", "privleak", "forget_quality"}
    tested |= {key for key in suite.log if key.startswith("mia_")}
    assert set(suite.log) == tested


# Where a quirk matters, our default gives another number.


def test_ours_counts_the_last_token(suite):
    table = suite.table("forget")
    ours = metrics.exact_memorization(table["token_hit"], table["mask"])
    theirs = peer.exact_memorization(table["token_hit"], table["mask"])
    assert np.abs(ours - theirs).max() > 0.01
    plus = metrics.min_k_plus_plus(*(table[c] for c in ("token_logp", "token_mu", "token_sigma", "mask")))
    assert np.abs(-plus - peer.mia_min_k_plus_plus(table)).max() > 0.01


def test_ours_gives_0_where_nothing_follows_by_itself(suite):
    table = suite.table("forget")
    ours = metrics.extraction_strength(table["token_hit"], peer.without_last(table["mask"]))
    theirs = np.array(suite.items_of("extraction_strength", "score"))
    nothing = (ours == 0) & (theirs > 0)
    assert nothing.sum() >= 5
    n = peer.without_last(table["mask"]).sum(1)
    memorised = np.array(suite.items_of("exact_memorization", "score"))
    index = int(np.flatnonzero((memorised == 0) & (n == 11))[0])
    assert theirs[index] == pytest.approx(1 / 11, abs=1e-6) and ours[index] == 0


def test_ours_sees_the_end_tokens(suite):
    items, facts, table = suite.items("forget"), facts_of(suite.model), suite.table("forget")
    theirs, differences = metrics.loss(table["token_logp"], table["mask"]), []
    with torch.no_grad():
        for swept in sweep_alone(suite.model, facts, items, range(len(items)), 4096):
            logp = flat_logp(facts.head(suite.model)(swept.final), swept.labels)
            for position, row in zip(swept.positions, logp.split(swept.counts), strict=True):
                differences.append(abs(float(row.mean()) - theirs[position]))
    assert len(differences) == 24 and max(differences) > 1e-3


def test_ours_has_no_floor_under_options_that_are_all_unlikely():
    right, wrong = np.log([[3e-12]]), np.log([[[1e-12]]])
    ours = metrics.probability_options(right, [[1]], wrong, [[[1]]])
    theirs = peer.probability_w_options(np.exp(right[:, 0]), np.exp(wrong[:, :, 0]))
    assert ours[0] == pytest.approx(0.75) and theirs[0] < 0.05


def test_our_utility_may_leave_parts_out_and_theirs_is_sunk_by_one():
    assert peer.model_utility([0.9, 0.8, 0.0]) == 0.0
    assert (
        metrics.model_utility({("model", "retain", "rouge_l"): [0.9], ("model", "retain", "probability"): [0.8]}) > 0.8
    )


def test_our_privleak_reads_a_reference_instead_of_a_half(suite, attacks):
    scores = {("model", name, "min_k"): -attacks[name]["mia_min_k"] for name in ("forget", "holdout")}
    same = {("reference", role, "min_k"): values for (_, role, _), values in scores.items()}
    assert np.isnan(metrics.privleak({**scores, **same})), "the reference never ranks holdout first"
    worse = {("reference", role, "min_k"): [-1.0, -3.0] for role in ("forget", "holdout")}
    assert metrics.privleak({**scores, **worse}) == pytest.approx(-100.0)


def test_our_gradient_norm_is_one_norm_over_all_weights(suite, attacks):
    items = suite.items("forget")[:3]
    rows = gradient_norms(suite.model, facts_of(suite.model), items)
    assert rows.shape == (3, sum(1 for _ in suite.model.parameters()))
    whole = np.sqrt((rows**2).sum(1))
    assert (whole > 1.5 * rows.mean(1)).all()
    assert np.abs(rows.mean(1) - attacks["forget"]["mia_gradnorm"][:3]).max() > 1e-3, "the last token, the end tokens"
