"""Edits: what follows from a fact, and what must not change. Sources: RippleEdits (2307.12976), MQuAKE (2305.14795).

Of RippleEdits the six criteria are read as published, after an edit: each test counts only if the original answers all
its condition queries. MQuAKE is read the other way round, after forgetting: a chain whose old answer is still given
although one of its hops is in scope has leaked. CounterFact (2202.05262) gives rewordings and neighbours of one form.
The policy judges forgetting, on MQuAKE and with what CounterFact keeps; on RippleEdits alone it is inconclusive.
"""

from __future__ import annotations

from expunge.core.example import Role
from expunge.core.policy import Criterion, Policy
from expunge.core.suite import Part, Reading, Suite
from expunge.evaluation.suites._reasons import BACK, SAID

RIPPLE: dict[str, tuple[Role, str]] = {
    "logical": ("forget", "Does what follows by symmetry, inversion and transitivity follow the edit?"),
    "composed": ("forget", "Do facts about the new object follow the edit?"),
    "composed_into": ("forget", "Do questions that lead through the subject follow the edit?"),
    "alias": ("forget", "Does the edit hold under the subject's other names?"),
    "preserved": ("neighbour", "Are the other objects of a relation with several kept?"),
    "specific": ("neighbour", "Are the subject's other facts kept?"),
}
GUESS = "how often a guess is right"

edit = Suite(
    name="edit",
    version="2",
    question="Does what follows from a fact change with it, and nothing else?",
    source="Cohen et al. 2023 (2307.12976), Zhong et al. 2023 (2305.14795), Meng et al. 2022 (2202.05262)",
    reader="edits",
    layout="MQuAKE-CF-3k-v2.json, counterfact.json, and recent.json, random.json or popular.json of RippleEdits, as"
    " published; any of them is enough",
    get="Point --data at a folder with MQuAKE-CF-3k-v2.json, counterfact.json or a file of RippleEdits",
    ethics="MIT each; their facts are Wikidata's, many about real people: reports hold counts only.",
    parts=(
        Part("fact", "forget", ("fact",), tokens=16),
        Part("chain", "forget", ("chain",), tokens=16, grouped=True),
        Part("hop", "forget", ("hop",), tokens=16),
        Part("outside", "neighbour", ("outside",), tokens=16),
        Part("rewrite", "forget", ("rewrite",), tokens=16),
        Part("paraphrase", "forget", ("paraphrase",), tokens=16),
        Part("neighbourhood", "neighbour", ("neighbourhood",), tokens=16),
        *(
            part
            for name, (role, _) in RIPPLE.items()
            for part in (
                Part(name, role, (name,), tokens=20, grouped=True),
                Part(f"{name}_if", role, (f"{name}_if",), tokens=20),
            )
        ),
    ),
    readings=(
        Reading("fact", "Is a fact in scope still given?", "answer_said", "reference", "fact", retrained=GUESS),
        Reading(
            name="entailment_leak",
            question="Is a chain's old answer still given, in any wording, though one of its hops is in scope?",
            measure="answer_said",
            better="reference",
            part="chain",
            known="hop",
            retrained=GUESS,
        ),
        Reading("outside", "Are the hops outside the scope kept?", "answer_said", "higher", "outside"),
        Reading(
            name="rewrite",
            question="How probable is the old object beside the new one?",
            measure="probability_options",
            better="reference",
            part="rewrite",
            retrained="about 0.5 where neither is known",
        ),
        Reading(
            name="paraphrase",
            question="The same, asked in other words?",
            measure="probability_options",
            better="reference",
            part="paraphrase",
            retrained="about 0.5 where neither is known",
        ),
        Reading(
            name="neighbourhood",
            question="Do others with the same object keep it?",
            measure="probability_options",
            better="higher",
            part="neighbourhood",
            retrained="as before",
        ),
        *(
            Reading(f"ripple_{name}", question, "answer_said", "higher", name, known=f"{name}_if")
            for name, (_, question) in RIPPLE.items()
        ),
        Reading(
            name="quantisation_4bit",
            question="Does rounding the weights to 4 bits bring the facts back?",
            measure="quantisation_4bit",
            better="reference",
            part="fact",
        ),
    ),
    utility=(("neighbourhood", "probability_options"),),
    policy=Policy(
        name="suite-edit",
        version="2",
        criteria=(
            Criterion("fact", 0.05, ("TEXT",), "Is a fact given more often than by one that never knew?", why=SAID),
            Criterion("entailment_leak", 0.05, ("TEXT",), "Is what follows from it given more often?", why=SAID),
            Criterion(
                attack="quantisation_4bit",
                margin=0.1,
                access=("WEIGHTS", "LOGPROBS"),
                question="Does rounding the weights bring the facts back?",
                why=BACK,
            ),
        ),
        utility_floor=0.9,
        detectors=("no_op", "collapse", "gibberish", "refusal", "disagreement"),
    ),
)
