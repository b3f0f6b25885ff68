"""Which statistics read both tails, and what judges nothing."""

import pytest

from expunge.core.registry import attacks, metrics
from expunge.evaluation.attacking import attack_statistic
from expunge.evaluation.per_item import Unmeasured

BOTH = ("loss", "min_k_auc", "min_k_plus_plus", "zlib_ratio", "reference_auc", "privleak", "rel_diff", "tug_of_war")
AUC_OF_OUTCOMES = ("gradient_norm",)
ABOVE = ("relearning", "paraphrase", "rouge_l", "forget_quality", "min_k_tpr_1", "answered", "extraction_excess")


@pytest.mark.parametrize("name", (*BOTH, *AUC_OF_OUTCOMES, *ABOVE))
def test_statistics_read_both_tails_and_no_mean_outcome_does(name):
    assert attack_statistic(name)[0].two_tailed == (name not in ABOVE)


def test_every_auc_reads_both_tails_whatever_it_is_made_of():
    names = [*(n for n in attacks.names() if attacks.literal(n, "unit") is None), *metrics.names()]
    found = [attack_statistic(name)[0] for name in names]
    aucs = {statistic.name: statistic.two_tailed for statistic in found if statistic.name.endswith("_auc")}
    assert "gradient_norm_auc" in aucs and len(aucs) > 5 and all(aucs.values())


def test_no_mean_outcome_of_an_attack_reads_both_tails():
    found = [attack_statistic(name)[0] for name in attacks.names() if attacks.literal(name, "unit") is None]
    means = [statistic for statistic in found if statistic.name.startswith("mean_")]
    assert len(means) > 10 and not any(statistic.two_tailed for statistic in means)
    assert all(attack_statistic(n)[0].two_tailed for n, metric in metrics.items() if getattr(metric, "attack", None))


@pytest.mark.parametrize("name", ["weight_delta", "bucket_flips"])
def test_what_is_about_tensors_judges_nothing(name):
    with pytest.raises(Unmeasured, match="about each tensor"):
        attack_statistic(name)
