"""The scoring benchmark weighs each part by what an evaluation has of it."""

import pytest
from benchmarks.scoring import Timed, summary


def test_rouge_counts_for_the_texts_that_are_generated_not_for_those_that_it_was_timed_on():
    timed = Timed()
    seconds = {"default": (6.0, 2.0), "generation": (10.0, 5.0), "rouge": (24.0, 3.0)}
    rest = {"attacks": (1.0, 1.0), "all": (1.0, 1.0), "gradnorm": (1.0, 1.0), "one": (1.0, 1.0), "four": (1.0, 1.0)}
    for name, (peer, ours) in {**seconds, **rest}.items():
        for who, took in (("peer", peer), ("ours", ours)):
            timed.times[f"{who} {name}"] = [(took, took)]
    assert summary(timed, 1 / 12)["tofu_with_generation"] == pytest.approx((6 + 10 + 2) / (2 + 5 + 0.25))
    assert summary(timed, 1 / 12)["rouge"] == 8.0
