"""TOFU: do the answers about invented authors look as if never seen? Source: Maini et al. 2024 (2401.06121).

Its nine components of utility are three scores on retained authors, real authors and world facts each. Forget quality
and the AUCs need a model that never knew; the margins are those of the policy research-tofu, whose page says how exact
they are.
"""

from __future__ import annotations

from expunge.core.policy import Criterion, Policy
from expunge.core.suite import Part, Reading, Suite
from expunge.evaluation.suites._reasons import BACK, DISTANCE, EVEN

KEPT = ("retain", "real_authors", "world_facts")

tofu = Suite(
    name="tofu",
    version="2",
    question="Do the answers about forgotten authors look as if they were never seen, while all others stay?",
    source="Maini et al. 2024 (2401.06121)",
    reader="tofu",
    layout="full, retain90, forget10_perturbed and the like, one JSON array a file: question, answer,"
    " paraphrased_answer, perturbed_answer; options split, authors, forget",
    get="Download locuslab/TOFU and point --data at its folder, or name locuslab/TOFU where a hub can be reached",
    ethics="MIT; its authors are invented, the real authors and world facts are general knowledge.",
    parts=(
        Part("forget", "forget"),
        Part("retain", "retain"),
        Part("real_authors", "general", ("real_authors",)),
        Part("world_facts", "general", ("world_facts",)),
        Part("holdout", "holdout"),
    ),
    readings=(
        Reading(
            name="forget_quality",
            question="How far are the truth ratios on forgotten records from those of a model that never saw them?",
            measure="forget_quality",
            better="lower",
            retrained="the distance between two models that never saw them",
        ),
        Reading("probability", "How probable are the forgotten answers?", "probability", "reference", "forget"),
        Reading("rouge_l", "Which share of the forgotten answers is said?", "rouge_l", "reference", "forget"),
        Reading("refused", "How often is a forgotten question refused?", "refused", "reference", "forget"),
        Reading(
            name="rouge_l_answered",
            question="Which share of the forgotten answers is said in answers that are no refusals?",
            measure="rouge_l_answered",
            better="reference",
            retrained="the words that the question gives away or that every answer has",
        ),
        Reading(
            name="min_k_auc",
            question="Can forgotten records be told from records that were never seen?",
            measure="min_k_auc",
            better="reference",
            retrained="about 0.5",
        ),
        *(
            Reading(f"{part}_{score}", f"Are answers on {part.replace('_', ' ')} kept?", score, "higher", part)
            for part in KEPT
            for score in ("rouge_l", "truth_score")
        ),
        Reading(
            name="relearning",
            question="Does a little training bring back more than it gives a model that never knew?",
            measure="relearning",
            better="reference",
            part="forget",
        ),
        Reading(
            name="quantisation_4bit",
            question="Does rounding the weights to 4 bits bring forgotten answers back?",
            measure="quantisation_4bit",
            better="reference",
            part="forget",
        ),
        Reading(
            name="paraphrase",
            question="Does another wording of the question bring forgotten answers back?",
            measure="paraphrase",
            better="reference",
            part="forget",
        ),
    ),
    utility=(
        *(("retain", score) for score in ("probability", "truth_score", "rouge_l")),
        *(
            (part, score)
            for part in ("real_authors", "world_facts")
            for score in ("probability_options", "truth_score", "rouge_l")
        ),
    ),
    policy=Policy(
        name="suite-tofu",
        version="1",
        criteria=(
            Criterion(
                "forget_quality", 0.15, ("LOGPROBS",), "Do right and wrong answers look as never seen?", why=DISTANCE
            ),
            Criterion("min_k_auc", 0.1, ("LOGPROBS",), "Can forgotten records be told from never-seen ones?", why=EVEN),
            Criterion("relearning", 0.1, ("FINETUNE", "LOGPROBS"), "Does a little training bring more back?", why=BACK),
        ),
        utility_floor=0.9,
        detectors=("no_op", "collapse", "gibberish", "refusal", "disagreement"),
    ),
)
