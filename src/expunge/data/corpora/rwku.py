"""RWKU: probes about well-known people, who are real. Source: Jin et al. 2024 (2406.10890), section 3.

Needed are ``forget_level1`` (cloze), ``forget_level2`` (questions), ``forget_level3`` (nine ways of asking past a
guard; its ``type`` says which), ``neighbor_level1`` and ``neighbor_level2``: ``query``, ``answer``, and ``target`` or
``subject``, whose place in the order of names stands for the person everywhere here. Read where they are there, by the
name of the configuration or of its file: ``mia_forget`` and ``mia_retain`` (texts about a person and about others), and
what must stay, ``utility_general`` (MMLU), ``utility_reason`` (BBH), ``utility_truthfulness`` (TruthfulQA),
``utility_factuality`` (TriviaQA) and ``utility_fluency``. Not read: ``forget_target`` and ``train_*``, which are
for unlearning and measure nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from expunge.core.errors import StoreError
from expunge.core.example import Example, Examples, Role
from expunge.data.corpora.published import Published, text_of, texts_of, value_of

GET = (
    "Download jinzhuoran/RWKU, and point --data at a folder with forget_level1.json, forget_level2.json,"
    " forget_level3.json, neighbor_level1.json and neighbor_level2.json, and for the other numbers mia_forget.json,"
    " mia_retain.json, utility_general.json, utility_reason.json, utility_truthfulness.json, utility_factuality.json"
    " and utility_fluency.json"
)
FILES: tuple[tuple[str, Role, str], ...] = (
    ("forget_level1", "forget", "level1"),
    ("forget_level2", "forget", "level2"),
    ("forget_level3", "forget", "level3"),
    ("neighbor_level1", "neighbour", "level1"),
    ("neighbor_level2", "neighbour", "level2"),
)
TEXTS: tuple[tuple[str, str, Role], ...] = (
    ("mia_forget", "forget_mia", "forget"),
    ("mia_retain", "retain_mia", "retain"),
)
KEPT = {
    "utility_general": ("retain_mmlu", "mmlu"),
    "utility_reason": ("retain_bbh", "bbh"),
    "utility_truthfulness": ("truthful", "truthfulqa"),
    "utility_factuality": ("triviaqa", "triviaqa"),
    "utility_fluency": ("fluency", "fluency"),
}
"""Configuration -> its file in the publisher's folder, and the subset."""


def read(data: str, *, people: int = 0) -> Examples:
    """Probes of what must be gone and of what must stay.

    Args:
        data: folder, or ``jinzhuoran/RWKU``.
        people: of whom the first so many in the order of their names are read; 0 for all. What must stay is dealt out
            to people too, and read for those alone.

    Returns:
        Examples of the role forget in the subsets level1, level2, level3 and text, of neighbour in level1 and level2,
        of retain in text, and of general in mmlu, bbh, truthfulqa, triviaqa and fluency; of the last five and the
        texts what is there. A text has no question. Of several right answers each is a record, ``id|0``, ``id|1``.

    Raises:
        StoreError: a file of the five levels is missing, or one is malformed.
    """
    files = Published(data, GET)
    rows = {name: files.rows(name) for name, _, _ in FILES}
    names = sorted({_person(row, f"{name}, row {i + 1}") for name in rows for i, row in enumerate(rows[name])})
    numbers = {person: number for number, person in enumerate(names) if not people or number < people}
    # A copy by person numbers its targets, "7_Ana"; rows that were published apart give the name alone.
    also = {name: _person(row, "") for file in rows.values() for row in file for name in _names(row)}
    known = set(also)
    numbers |= {name: numbers[person] for name, person in also.items() if person in numbers}
    found = [example for name, role, subset in FILES for example in _probes(rows[name], name, role, subset, numbers)]
    for name, file, role in TEXTS:
        found += _texts(_there(files, name, file), name, role, numbers, known)
    for name, (file, subset) in KEPT.items():
        for place, row in enumerate(_there(files, name, file)):
            where = f"{name}, row {place + 1}"
            if not people or not _names(row) or numbers.keys() & _names(row):
                found += _kept(row, f"{name}-{place:05d}", subset, where)
    return Examples(found)


def _there(files: Published, *names: str) -> list[Any]:
    """Rows of the first file that is there; none where none is."""
    return next((rows for name in names if (rows := files.rows(name, needed=False))), [])


def _person(row: Any, where: str) -> str:
    return text_of(row, "target", "subject", where=where)


def _names(row: Any) -> list[str]:
    """Whom a row is about or dealt to, by each name that it gives; none where it does not say."""
    given = [row.get(name) for name in ("target", "subject")] if isinstance(row, Mapping) else []
    return [name for name in given if isinstance(name, str)]


def _probes(rows: Sequence[Any], name: str, role: Role, subset: str, numbers: Mapping[str, int]) -> list[Example]:
    found: list[Example] = []
    for place, row in enumerate(rows):
        where = f"{name}, row {place + 1}"
        number = numbers.get(_person(row, where))
        if number is None:
            continue
        question, answer = (text_of(row, field, where=where) for field in ("query", "answer"))
        kind = row["type"] if isinstance(row.get("type"), str) else ""
        found.append(
            Example(
                f"{name}-{place:05d}",
                question,
                answer,
                subject=f"person-{number:03d}",
                role=role,
                relation=kind,
                subset=subset,
            )
        )
    return found


def _texts(rows: Sequence[Any], name: str, role: Role, numbers: Mapping[str, int], known: set[str]) -> list[Example]:
    """Texts that the model learned: about a person, or, of the role retain, about others."""
    found: list[Example] = []
    for place, row in enumerate(rows):
        where = f"{name}, row {place + 1}"
        text, about = text_of(row, "text", where=where), [n for n in _names(row) if n in known]
        if about and about[0] not in numbers:
            continue
        if role == "forget" and not about:
            raise StoreError(f"{where} is about nobody of the probes", why="its subject is not among theirs", next=GET)
        subject = f"person-{numbers[about[0]]:03d}" if role == "forget" else ""
        found.append(Example(f"{name}-{place:05d}", "", text, subject=subject, role=role, subset="text"))
    return found


def _kept(row: Any, key: str, subset: str, where: str) -> list[Example]:
    """The records of one question that has nothing to do with the forgotten."""
    asked = text_of(row, "instruction" if subset == "fluency" else "question", where=where)

    def record(key: str, answer: str, wrong: Sequence[str] = ()) -> Example:
        return Example(key, asked, answer, role="general", subset=subset, perturbed_answer=tuple(wrong))

    if subset == "fluency":
        return [record(key, text_of(row, "output", "instruction", where=where))]
    if subset == "mmlu":
        choices = [str(choice) for choice in value_of(row, "choices", list, where=where)]
        return [_choice(record, key, choices, value_of(row, "answer", int, where=where), where)]
    if subset == "truthfulqa":
        targets = value_of(row, "mc1_targets", Mapping, where=where)
        choices = [str(choice) for choice in value_of(targets, "choices", list, where=where)]
        labels = value_of(targets, "labels", list, where=where)
        return [_choice(record, key, choices, labels.index(1) if 1 in labels else -1, where)]
    field = "answers" if subset == "triviaqa" else "answer"
    answers = [row[field]] if isinstance(row.get(field), str) else texts_of(row, field, where=where)
    if not answers:
        raise StoreError(f"{where} has no {field!r}")
    return [record(f"{key}|{k}", answer) for k, answer in enumerate(dict.fromkeys(answers))]


def _choice(record: Any, key: str, choices: Sequence[str], right: int, where: str) -> Example:
    if not 0 <= right < len(choices) or len(choices) < 2:
        raise StoreError(f"{where} has no choice {right}", why=f"there are {len(choices)}")
    return record(key, choices[right], [choice for i, choice in enumerate(choices) if i != right])
