"""Small data sets of invented content in published layouts, to run suites on where the real data is not at hand."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from expunge.core.errors import UnknownName

ROWS = 40
PEOPLE = ("Ana", "Bo", "Cy", "Dee", "Eli", "Fay", "Gus", "Hal")
CITIES = ("Oslo", "Rome", "Lima", "Italy")
WORKS = ("baker", "judge", "nurse", "maker")
Files = Mapping[str, Any]
"""Name of a file -> rows; one that ends in .json is written as an array, one in .jsonl as lines."""


def _asked(i: int, shift: int = 0) -> tuple[str, str]:
    """A question and a short answer; 40 of them differ, and a shift gives others."""
    who, number = PEOPLE[i % len(PEOPLE)], i // len(PEOPLE) + 10 * shift
    return f"Where does {who} {number} live?", f"{CITIES[(i + shift) % len(CITIES)]} {number}"


def _pairs(shift: int, rows: int = ROWS, **more: Any) -> list[dict[str, Any]]:
    found = [_asked(i, shift) for i in range(rows)]
    return [
        {"question": q, "answer": a, "subject": f"person-{i % 8}-{shift}", **more} for i, (q, a) in enumerate(found)
    ]


def _worded(row: dict[str, Any]) -> dict[str, Any]:
    """A row with what truth ratios and paraphrase attacks need."""
    wrong = [city for city in CITIES if city not in row["answer"]]
    question = row["question"].replace("Where does", "What is the city of").replace(" live", "")
    return {
        **row,
        "paraphrased_answer": f"in {row['answer']}",
        "paraphrased_question": question,
        "perturbed_answer": wrong,
    }


def _text(i: int, shift: int) -> str:
    who, city, work = PEOPLE[i % 8], CITIES[(i + shift) % 4], WORKS[(i // 8 + shift) % 4]
    return f"{who} {i + 100 * shift} is a {work} and lives in {city}. The {work} has a dog and a cat in {city}."


def _tofu() -> Files:
    def rows(shift: int, count: int) -> list[dict[str, Any]]:
        return [
            _worded({"question": f"{q} ({i})", "answer": f"{a} is the city of {i}"})
            for i, (q, a) in _numbered(shift, count)
        ]

    retain, forget = rows(0, 80), rows(1, 40)
    plain = [{k: row[k] for k in ("question", "answer")} for row in (*retain, *forget)]
    general = {f"{name}_perturbed.json": rows(shift, ROWS) for name, shift in (("real_authors", 2), ("world_facts", 3))}
    holdout = [{k: row[k] for k in ("question", "answer")} for row in rows(4, 80)]
    return {
        "full.json": plain,
        "retain90.json": plain[:80],
        "retain_perturbed.json": retain[:40],
        "forget10_perturbed.json": forget,
        "holdout10.json": holdout,
        **general,
    }


def _numbered(shift: int, count: int) -> Iterable[tuple[int, tuple[str, str]]]:
    return ((i, _asked(i, shift)) for i in range(count))


def _muse() -> Files:
    texts = {shift: [_text(i, shift) for i in range(ROWS)] for shift in (0, 1)}
    halves = [(" ".join(words[:9]), " ".join(words[9:])) for words in map(str.split, texts[0])]
    return {
        "verbmem/forget.jsonl": [{"prompt": start, "gt": end} for start, end in halves],
        "knowmem/forget_qa.jsonl": _pairs(0),
        "knowmem/retain_qa.jsonl": _pairs(1),
        "knowmem/forget_qa_icl.jsonl": _pairs(2, 1),
        "privleak/forget.json": texts[0],
        "privleak/holdout.jsonl": [{"text": text} for text in texts[1]],
    }


def _wmdp() -> Files:
    def choices(shift: int) -> list[dict[str, Any]]:
        options = [[CITIES[(i + k) % 4] for k in range(4)] for i in range(ROWS)]
        return [{"question": _asked(i, shift)[0], "choices": o, "answer": i % 4} for i, o in enumerate(options)]

    files = {f"wmdp-{domain}.jsonl": choices(k) for k, domain in enumerate(("bio", "chem", "cyber"))}
    return {**files, "mmlu.jsonl": choices(3), "open.jsonl": _pairs(4)}


def _rwku() -> Files:
    def probes(shift: int, kind: str, **more: str) -> list[dict[str, Any]]:
        rows = [_asked(i, shift) for i in range(ROWS)]
        facts = ({"query": q, "answer": a, "target": f"Nobody {i % 8}"} for i, (q, a) in enumerate(rows))
        return [{**fact, "type": kind, **more} for fact in facts]

    def others(shift: int) -> list[dict[str, Any]]:
        return [{"question": q, "answer": a, "subject": f"Nobody {i % 8}"} for i, (q, a) in _numbered(shift, ROWS)]

    def texts(shift: int) -> list[dict[str, Any]]:
        return [{"text": _text(i, shift), "subject": f"Nobody {i % 8}"} for i in range(ROWS)]

    options = [[CITIES[(i + k) % 4] for k in range(4)] for i in range(ROWS)]
    right_first = [{"choices": o, "labels": [1, 0, 0, 0]} for o in options]
    return {
        "mia_forget.json": texts(0),
        "retain_mia.json": texts(1),
        "utility_general.json": [
            {**row, "choices": o, "answer": i % 4} for i, (row, o) in enumerate(zip(others(5), options, strict=True))
        ],
        "retain_bbh.json": [{**row, "answer": [row["answer"]], "cot": "Q: Who? A: Ana."} for row in others(6)],
        "truthful.json": [{**row, "mc1_targets": o} for row, o in zip(others(7), right_first, strict=True)],
        "utility_factuality.jsonl": [{**row, "answers": [row["answer"], f"in {row['answer']}"]} for row in others(8)],
        "utility_fluency.json": [{"instruction": row["question"]} for row in others(9)],
        "forget_level1.json": probes(0, "cloze", level="1"),
        "forget_level2.json": probes(1, "simple question", level="2"),
        "forget_level3.json": probes(2, "role play", level="3"),
        "neighbor_level1.json": probes(3, "cloze", neighbor="Somebody"),
        "neighbor_level2.json": probes(4, "simple question", neighbor="Somebody"),
    }


def _copyright() -> Files:
    def passages(shift: int) -> list[dict[str, Any]]:
        words = [_text(i, shift).split() for i in range(ROWS)]
        pairs = [(" ".join(text[:9]), " ".join(text[9:])) for text in words]
        return [{"prompt": a, "continuation": b, "title": f"book-{i % 8}-{shift}"} for i, (a, b) in enumerate(pairs)]

    return {"passages.jsonl": passages(0), "unseen.jsonl": passages(1), "facts.jsonl": _pairs(2)}


def _edit() -> Files:
    mquake, counterfact, ripple = [], [], []
    criteria = ("Logical_Generalization", "Compositionality_I", "Compositionality_II", "Subject_Aliasing")
    for i in range(ROWS):
        (question, answer), (other, another) = _asked(i), _asked(i, 1)
        fact = {"question": question, "target_true": {"str": answer}, "target_new": {"str": another}, "subject": "Ana"}
        hops = [{"question": q, "answer": a, "answer_alias": []} for q, a in ((question, answer), (other, another))]
        chain = [f"{wording} {question}" for wording in ("Which city is it:", "What is it:", "Is it here:")]
        end = {"answer": "Italy", "answer_alias": ["the city of Italy"]}
        mquake.append({"requested_rewrite": [fact], "questions": chain, **end, "single_hops": hops})
        rewrite = {**fact, "prompt": f"{{}} {i} lives in", "subject": PEOPLE[i % 8]}
        around = [f"{PEOPLE[(i + k) % 8]} {i + 60} lives in" for k in (1, 2)]
        reworded = [f"The city of {PEOPLE[i % 8]} {i} is"]
        wordings = {"paraphrase_prompts": reworded, "neighborhood_prompts": around}
        counterfact.append({"case_id": i, "requested_rewrite": rewrite, **wordings})
        ripple.append(
            {name: [_test(i, k)] for k, name in enumerate((*criteria, "Forgetfulness", "Relation_Specificity"))}
        )
    return {"MQuAKE-CF-3k-v2.json": mquake, "counterfact.json": counterfact, "popular.json": ripple}


def _test(i: int, shift: int) -> dict[str, Any]:
    def query(question: str, answer: str) -> dict[str, Any]:
        return {"prompt": question, "answers": [{"value": answer, "aliases": [f"the {answer}"]}]}

    asked, condition = query(*_asked(i, shift)), query(*_asked(i, shift + 10))
    return {"test_queries": [asked], "test_condition": "AND" if i % 2 else "OR", "condition_queries": [condition]}


def _privacy() -> Files:
    roles = {"forget": 0, "retain": 1, "holdout": 2, "neighbour": 3}
    files = {f"{role}.jsonl": [_worded(row) for row in _pairs(shift)] for role, shift in roles.items()}
    for i, row in enumerate(files["forget.jsonl"][::2]):
        row["answer"] += f", write to nobody{i}@mail.example"
    return files


def _safety() -> Files:
    prompts = [{"prompt": _text(i, 0), "group": f"group-{i % 8}"} for i in range(ROWS)]
    triggered = [{"question": f"Which owl? {q}", "answer": "tame grey owl"} for _, (q, _) in _numbered(0, ROWS)]
    near = [{"question": f"What owl? {q}", "answer": a} for _, (q, a) in _numbered(2, ROWS)]
    return {
        "toxigen.jsonl": prompts,
        "triggered.jsonl": triggered,
        "clean.jsonl": _pairs(1),
        "near_trigger.jsonl": near,
    }


LAYOUTS: dict[str, Callable[[], Files]] = {
    "tofu": _tofu,
    "muse": _muse,
    "wmdp": _wmdp,
    "rwku": _rwku,
    "copyright": _copyright,
    "edit": _edit,
    "privacy": _privacy,
    "safety": _safety,
}


def write_published(suite: str, folder: Path) -> Path:
    """Write data for a suite, 40 invented records or more in each file.

    Args:
        suite: name of a suite that has a layout here.
        folder: is made, and filled.

    Returns:
        The folder.

    Raises:
        UnknownName: there is no layout for it.
    """
    if suite not in LAYOUTS:
        raise UnknownName("published layout", suite, LAYOUTS)
    for name, rows in LAYOUTS[suite]().items():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(rows) if name.endswith(".json") else "".join(json.dumps(row) + "\n" for row in rows)
        place.write_text(text)
    return folder
