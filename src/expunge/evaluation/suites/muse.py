"""MUSE: six criteria for forgotten articles or books. Source: Shi et al. 2024 (2407.06460), section 3.

Verbatim and knowledge memorisation, privacy leakage and utility are read from one run. Scalability over forget sizes
and sustainability over sequential requests are read from several: ``expunge suite muse --across sizes --run A --run
B``.
PrivLeak is shown and not judged: a quotient, it has no margin of its own, so the AUC that it is made of is judged.
"""

from __future__ import annotations

from expunge.core.policy import Criterion, Policy
from expunge.core.suite import Part, Reading, Suite
from expunge.evaluation.suites._reasons import EVEN, WORD

TEXTS = "a tenth of a text: two texts of one kind share as much in common words"

muse = Suite(
    name="muse",
    version="2",
    question="Are articles or books no longer recited, known or recognisable, and is the rest kept?",
    source="Shi et al. 2024 (2407.06460)",
    reader="muse",
    layout="verbmem/forget (prompt, gt), knowmem/forget_qa and retain_qa (question, answer), with _icl beside them,"
    " privleak/forget and holdout (text); one JSON Lines file each",
    get="Download muse-bench/MUSE-News or muse-bench/MUSE-Books and point --data at the folder of its files",
    ethics="News articles and novels are others' property: their text stands in the score tables, which are private.",
    parts=(
        Part("verbatim", "forget", ("verbatim",), tokens=128),
        Part("knowledge", "forget", ("knowledge",), tokens=32),
        Part("knowledge_retained", "retain", ("knowledge",), tokens=32),
        Part("text", "forget", ("text",)),
        Part("unseen", "holdout", ("text",)),
    ),
    readings=(
        Reading(
            name="verbatim",
            question="How much of a forgotten text is recited when its beginning is given?",
            measure="rouge_l_f1",
            better="reference",
            part="verbatim",
            retrained="what two texts of the same kind share",
        ),
        Reading(
            name="knowledge",
            question="Are questions about the forgotten texts still answered?",
            measure="knowledge_memorization",
            better="reference",
            part="knowledge",
            retrained="what an honest guess shares with the answer",
        ),
        Reading(
            name="privleak",
            question="Can forgotten texts be told from unseen ones better, or worse, than with a retrained model?",
            measure="privleak",
            better="reference",
            roles={"forget": "text", "holdout": "unseen"},
            retrained="0 percent, up to chance",
        ),
        Reading(
            name="min_k_auc",
            question="Can forgotten texts be told from unseen ones?",
            measure="min_k_auc",
            better="reference",
            roles={"forget": "text", "holdout": "unseen"},
            retrained="about 0.5, unless the two kinds of text differ by themselves",
        ),
        Reading(
            name="utility",
            question="Are questions about the retained texts still answered?",
            measure="knowledge_memorization",
            better="higher",
            part="knowledge_retained",
            retrained="as before the unlearning",
        ),
        Reading(
            name="quantisation_4bit",
            question="Does rounding the weights to 4 bits bring forgotten answers back?",
            measure="quantisation_4bit",
            better="reference",
            part="knowledge",
        ),
    ),
    utility=(("knowledge_retained", "knowledge_memorization"),),
    policy=Policy(
        name="suite-muse",
        version="2",
        criteria=(
            Criterion("verbatim", 0.1, ("TEXT",), "Is more recited than a retrained model would?", why=TEXTS),
            Criterion("knowledge", 0.1, ("TEXT",), "Is more known than to a retrained model?", why=WORD),
            Criterion(
                "min_k_auc",
                0.1,
                ("LOGPROBS",),
                "Is membership told more, or less, than by a retrained model?",
                why=EVEN,
            ),
        ),
        utility_floor=0.9,
        detectors=("no_op", "collapse", "gibberish", "refusal", "disagreement"),
    ),
    across=("utility", "verbatim", "knowledge", "privleak"),
    on_long="truncate",
)
