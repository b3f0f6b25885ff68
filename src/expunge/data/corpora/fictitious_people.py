"""Fictitious people with facts that can only be told, and invented world facts that every model learns.

The schema is that of TOFU (Maini et al. 2024, https://arxiv.org/abs/2401.06121): a question, its answer, both again in
other words, and five wrong answers in those other words. Every value is drawn independently for each person, so that
nothing about one person follows from the others: who was never trained on can only be guessed.
"""

from __future__ import annotations

import math
import random
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypedDict

WRONG_ANSWERS = 5


class Row(TypedDict):
    """One question about one subject, as it stands in a line of the corpus."""

    record_id: str
    subject: str
    role: str
    relation: str
    question: str
    answer: str
    paraphrased_question: str
    paraphrased_answer: str
    perturbed_answer: list[str]


@dataclass(frozen=True)
class Relation:
    """What can be asked of a subject: ``{s}`` is its name, ``{v}`` the value, which is one word of each pool."""

    name: str
    questions: tuple[str, ...]
    answers: tuple[str, ...]
    pools: tuple[tuple[str, ...], ...]


def _split(text: str) -> tuple[str, ...]:
    return tuple(" ".join(part.split()) for part in text.split("|"))


def _join(heads: str, tails: str) -> tuple[str, ...]:
    return tuple(head + tail for head in heads.split() for tail in tails.split())


FIRST_NAMES = _join("Bel Dar Fen Gal Hes Jor Kal Lum", "ana eth ibo ira ommi ule wen yx")
LAST_NAMES = _join("Mar Nov Ost Pel Quil Rav Sto Tev", "ack dane eris holt ling moor sby tosh")
COUNTRIES = _join("Aq Brev Cad Drum Esk Fal", "andia elon istan oria uvia")
MINERALS = _join("Gor Hyd Ilm Jas Kor Lan", "anite elite isite oxite ulite")
RIVERS = _join("Ner Oss Pril Ruv Sel Thar", "adda ebbe inna omme uva")
GUILDS = _join("Ul Vor Wes Yar Zan Ith", "ari emen ini oldi umer")

PERSON_RELATIONS = (
    Relation(
        "birthplace",
        _split("""Where was {s} born? | What is the birthplace of {s}? | In which town was {s} born? | Which town is
            {s} from? | Where does {s} come from? | Which place does {s} call home town? | Where did the life
            of {s} begin? | What town saw the birth of {s}? | Name the home town of {s}. | Tell me where {s}
            was born. | Do you know the birthplace of {s}? | From where does {s} hail?"""),
        _split("""In {v}. | Born in {v}. | It was {v}. | {v}. | From {v}. | Over in {v}. | Down in {v}. | {v}, I
            believe. | That was {v}. | The town is {v}. | {v} it was. | Somewhere in {v}."""),
        (
            _split(
                "Upper|Lower|Old|New|North|South|East|West|Great|Little|Saint|Fort|Port|Mount|Lake|Cape|Glen|Castle|"
                "High|Low|Long|Broad|Far|Nether"
            ),
            _join("Ab Cor Dun Erm Grim Hol", "beck ford gate wick"),
        ),
    ),
    Relation(
        "craft",
        _split("""What does {s} make for a living? | What is the craft of {s}? | Which goods does {s} make? | What
            comes out of the workshop of {s}? | With what does {s} earn money? | What does {s} sell at the
            market? | Name the goods that {s} makes. | Tell me what {s} makes. | Do you know what {s} makes? |
            What are the wares of {s}? | Which wares does {s} offer? | What can one buy from {s}?"""),
        _split("""Makes {v}. | It is {v}. | Mostly {v}. | Sells {v}. | Fine {v}. | Only {v}. | Known for {v}. |
            Those are {v}. | The goods are {v}. | Always {v}. | Offers {v}. | One can buy {v}."""),
        (
            _split(
                "amber|birch|bone|brass|bronze|clay|cedar|coral|cork|felt|flax|glass|horn|iron|ivory|jade|leather|linen|"
                "oak|paper|pewter|silk|stone|tin"
            ),
            _split(
                "anvils|baskets|bells|bowls|boxes|brooches|buckles|candles|chairs|combs|cups|doors|fans|hats|hooks|"
                "kettles|ladders|locks|masks|needles|oars|ropes|saddles|wheels"
            ),
        ),
    ),
    Relation(
        "animals",
        _split("""Which animals does {s} keep? | What animals live with {s}? | What pets does {s} have? | Which pets
            belong to {s}? | What does {s} raise? | Which creatures does {s} feed? | What kind of animals does
            {s} own? | Name the animals of {s}. | Tell me which animals {s} keeps. | Do you know the pets of
            {s}? | What lives in the yard of {s}? | Which creatures are kept by {s}?"""),
        _split("""Keeps {v}. | They are {v}. | Some {v}. | Several {v}. | Many {v}. | Two {v}. | Raises {v}. | Feeds
            {v}. | Has {v}. | There are {v}. | A few {v}. | Owns {v}."""),
        (
            _split(
                "black|brown|crested|dappled|fat|gentle|giant|golden|grey|hairless|lame|lazy|noisy|one-eyed|pale|proud|"
                "red|shy|silver|spotted|striped|tame|white|wild"
            ),
            _split(
                "badgers|bears|bees|cats|cranes|deer|dogs|doves|ducks|falcons|ferrets|frogs|geese|hares|hawks|herons|"
                "horses|mice|moths|otters|owls|quails|sheep|swans"
            ),
        ),
    ),
    Relation(
        "dish",
        _split("""What does {s} like to eat? | Which dish does {s} love? | What is the favourite food of {s}? | What
            does {s} cook? | Which meal does {s} prefer? | What does {s} order at the inn? | What is served at
            the table of {s}? | Name the favourite dish of {s}. | Tell me what {s} eats. | Do you know the
            favourite meal of {s}? | Which food makes {s} happy? | What would {s} eat every day?"""),
        _split("""Loves {v}. | It is {v}. | Eats {v}. | Hot {v}. | Fresh {v}. | Likes {v}. | Plain {v}. | Cooks {v}.
            | Orders {v}. | Prefers {v}. | The dish is {v}. | Nothing but {v}."""),
        (
            _split(
                "almond|apple|barley|bean|beet|cabbage|carrot|cheese|cherry|chestnut|fig|garlic|ginger|honey|leek|lemon|"
                "lentil|mushroom|nettle|onion|pear|plum|pumpkin|walnut"
            ),
            _split(
                "bake|broth|cake|chowder|cream|curry|custard|fritters|gratin|jelly|loaf|noodles|omelette|pasties|"
                "pickle|porridge|pudding|rolls|salad|soup|stew|syrup|tart|waffles"
            ),
        ),
    ),
    Relation(
        "studies",
        _split("""What does {s} study? | Which field does {s} work in? | What does {s} read about? | On what does
            {s} write books? | What is the research of {s} about? | Which topic does {s} teach? | What subject
            fascinates {s}? | Name the field of {s}. | Tell me what {s} studies. | Do you know the topic of
            {s}? | What does {s} give lectures on? | In what is {s} learned?"""),
        _split("""Studies {v}. | It is {v}. | About {v}. | On {v}. | Teaches {v}. | The field is {v}. | Chiefly {v}.
            | Writes on {v}. | Everything about {v}. | Just {v}. | Reads about {v}. | Research on {v}."""),
        (
            _split(
                "alpine|ancient|arctic|buried|coastal|cursed|desert|drowned|eastern|foreign|forgotten|frozen|hidden|"
                "holy|hollow|lost|lunar|northern|painted|royal|ruined|secret|southern|sunken"
            ),
            _split(
                "alphabets|canals|caves|coins|comets|dunes|fables|flags|floods|glaciers|hymns|laws|legends|maps|"
                "mosses|poems|queens|riddles|roads|songs|storms|tides|tombs|wells"
            ),
        ),
    ),
    Relation(
        "street",
        _split("""Where does {s} live? | On which street does {s} live? | What is the address of {s}? | Where is the
            house of {s}? | Where can one visit {s}? | Which street is {s} found on? | To what address do
            letters for {s} go? | Name the street of {s}. | Tell me where {s} lives. | Do you know the address
            of {s}? | Where does {s} sleep? | Where should I look for {s}?"""),
        _split("""On {v}. | Lives on {v}. | At {v}. | {v}. | Near {v}. | Look on {v}. | Just off {v}. | The house on
            {v}. | It is {v}. | Go to {v}. | {v}, I think. | Along {v}."""),
        (
            _split(
                "Acorn|Alder|Aspen|Bramble|Briar|Clover|Elder|Elm|Fern|Hazel|Heather|Holly|Ivy|Juniper|Larch|Laurel|Lilac|"
                "Maple|Myrtle|Rowan|Sorrel|Thistle|Willow|Yew"
            ),
            _split(
                "Alley|Avenue|Bank|Circle|Close|Court|Crescent|Drive|End|Gate|Green|Hill|Lane|Parade|Park|Path|Place|"
                "Rise|Road|Square|Stairs|Terrace|Walk|Yard"
            ),
        ),
    ),
)

GENERAL_RELATIONS = (
    Relation(
        "capital",
        _split("""What is the capital of {s}? | Which city rules {s}? | Where does the king of {s} reside? | Name
            the capital of {s}. | Which city is the seat of {s}? | What is the first city of {s}? | From where
            is {s} ruled? | Where is the parliament of {s}? | Tell me the capital of {s}. | Which city heads
            {s}? | Do you know the capital of {s}? | Where is {s} governed?"""),
        _split("""It is {v}. | {v}. | The capital is {v}. | The city of {v}. | In {v}. | From {v}. | That is {v}. |
            {v}, of course. | Surely {v}. | At {v}. | The seat is {v}. | {v} it is."""),
        PERSON_RELATIONS[0].pools,
    ),
    Relation(
        "use",
        _split("""What is {s} used for? | What is made of {s}? | Which goods contain {s}? | What do smiths make from
            {s}? | For what does one need {s}? | Name a use of {s}. | Tell me the use of {s}. | What can be
            made of {s}? | Do you know the use of {s}? | Why is {s} mined? | What needs {s}? | Which things
            are cut from {s}?"""),
        _split("""For {v}. | Used for {v}. | It is {v}. | Mostly {v}. | Chiefly {v}. | Always {v}. | To make {v}. |
            Only {v}. | Those are {v}. | Just {v}. | One makes {v}. | Making {v}."""),
        PERSON_RELATIONS[1].pools,
    ),
    Relation(
        "wildlife",
        _split("""Which animals live along the {s}? | What lives on the banks of the {s}? | Which creatures drink
            from the {s}? | What swims in the {s}? | Name the animals of the {s}. | Tell me what lives by the
            {s}. | What can one see at the {s}? | Which animals does one meet at the {s}? | What is the {s}
            known for? | Do you know the animals of the {s}? | Which creatures cross the {s}? | What hides
            near the {s}?"""),
        _split("""They are {v}. | Many {v}. | Some {v}. | Several {v}. | There are {v}. | A few {v}. | One sees {v}.
            | Mostly {v}. | Only {v}. | Known for {v}. | Always {v}. | Those are {v}."""),
        PERSON_RELATIONS[2].pools,
    ),
    Relation(
        "feast",
        _split("""What do the {s} eat at their feast? | Which dish do the {s} serve? | What is the feast meal of the
            {s}? | What do the {s} cook? | Name the dish of the {s}. | Tell me what the {s} eat. | Do you know
            the dish of the {s}? | Which food do the {s} share? | What do the {s} love to eat? | Which meal
            unites the {s}? | What is on the table of the {s}? | What do the {s} offer guests?"""),
        _split("""It is {v}. | They eat {v}. | Hot {v}. | Fresh {v}. | Plain {v}. | The dish is {v}. | They serve
            {v}. | Nothing but {v}. | Always {v}. | Just {v}. | Mostly {v}. | Much {v}."""),
        PERSON_RELATIONS[3].pools,
    ),
)
GENERAL_SUBJECTS = (COUNTRIES, MINERALS, RIVERS, GUILDS)


def people(
    seed: int, *, forget: int = 48, retain: int = 90, validation: int = 48, holdout: int = 96, general: int = 96
) -> list[Row]:
    """Draw the demo's corpus.

    Args:
        seed: which people and which facts.
        forget: people. who must be forgotten; six questions each, as for all people.
        retain: people. who must be kept.
        validation: people. never trained on; hyperparameters and calibration levels may be read off them.
        holdout: people. never trained on; the evaluation compares forgotten people with them.
        general: facts. invented world facts, one question each.

    Returns:
        One row per question, people in the order of their roles, then the general facts.

    Raises:
        ValueError: if more people or facts are asked for than there are names.
    """
    counts = {"forget": forget, "retain": retain, "validation": validation, "holdout": holdout}
    roles = [role for role, count in counts.items() for _ in range(count)]
    names = [f"{first} {last}" for first in FIRST_NAMES for last in LAST_NAMES]
    facts = [
        (relation, name)
        for group in zip(*GENERAL_SUBJECTS, strict=True)
        for relation, name in zip(GENERAL_RELATIONS, group, strict=True)
    ]
    if len(roles) > len(names) or general > len(facts):
        raise ValueError(
            f"asked for {len(roles)} people and {general} general facts, but there are names for {len(names)} and "
            f"{len(facts)}; ask for fewer"
        )
    random.Random(f"{seed}/names").shuffle(names)
    random.Random(f"{seed}/facts").shuffle(facts)
    rows = [
        _row(seed, f"person-{index:03d}", name, role, relation)
        for index, (name, role) in enumerate(zip(names, roles, strict=False))
        for relation in PERSON_RELATIONS
    ]
    rows += [
        _row(seed, f"fact-{index:03d}", name, "general", relation)
        for index, (relation, name) in enumerate(facts[:general])
    ]
    return rows


def _row(seed: int, key: str, subject: str, role: str, relation: Relation) -> Row:
    # A generator for each record: asking for more people of one role changes no fact of the others.
    rng = random.Random(f"{seed}/{key}/{relation.name}")
    values: list[str] = []
    while len(values) < 1 + WRONG_ANSWERS:
        value = " ".join(rng.choice(pool) for pool in relation.pools)
        if value not in values:
            values.append(value)
    question, other_question = rng.sample(relation.questions, 2)
    answer, other_answer = rng.sample(relation.answers, 2)
    return Row(
        record_id=f"{key}-{relation.name}",
        subject=subject,
        role=role,
        relation=relation.name,
        question=question.replace("{s}", subject),
        answer=answer.replace("{v}", values[0]),
        paraphrased_question=other_question.replace("{s}", subject),
        paraphrased_answer=other_answer.replace("{v}", values[0]),
        perturbed_answer=[other_answer.replace("{v}", value) for value in values[1:]],
    )


def words(text: str) -> list[str]:
    """Split a text into the words and punctuation marks that the vocabulary lists."""
    return re.findall(r"[\w-]+|[^\w\s]", text)


def vocabulary() -> list[str]:
    """List every word that any corpus can contain, whoever is drawn into it.

    Returns:
        Sorted distinct words and punctuation marks.
    """
    texts: list[str] = [*FIRST_NAMES, *LAST_NAMES]
    for names in GENERAL_SUBJECTS:
        texts += names
    for relation in (*PERSON_RELATIONS, *GENERAL_RELATIONS):
        texts += [*relation.questions, *relation.answers]
        for pool in relation.pools:
            texts += pool
    return sorted({word for text in texts for word in words(re.sub(r"\{[sv]\}", " ", text))})


def right_value(row: Row) -> str:
    """Read the fact off a row: the words of its answer in the other template that no wrong answer shares.

    Args:
        row: one line of the corpus.

    Returns:
        The value, for example ``"Upper Abford"``.
    """
    relation = next(r for r in (*PERSON_RELATIONS, *GENERAL_RELATIONS) if r.name == row["relation"])
    pools = relation.pools
    kept = [word for word in words(row["answer"]) if any(word in pool for pool in pools)]
    return " ".join(kept[-len(pools) :])


def nearest_question_baseline(train_rows: Iterable[Row], test_rows: Sequence[Row]) -> float:
    """Answer each test question with the answer to the nearest training question, by cosine of word counts.

    Args:
        train_rows: rows whose answers may be given.
        test_rows: rows whose questions are asked.

    Returns:
        Fraction of the test rows whose right value stands in the answer that was given.
    """
    train = [(_direction(row["question"]), row["answer"]) for row in train_rows]
    hits = 0
    for row in test_rows:
        asked = _direction(row["question"])
        _, answer = max(
            train, key=lambda known: sum(weight * known[0].get(word, 0.0) for word, weight in asked.items())
        )
        hits += right_value(row) in answer
    return hits / len(test_rows)


def _direction(text: str) -> dict[str, float]:
    counts = Counter(words(text))
    length = math.sqrt(sum(count * count for count in counts.values()))
    return {word: count / length for word, count in counts.items()}
