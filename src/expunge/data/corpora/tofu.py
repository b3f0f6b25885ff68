"""TOFU: questions and answers about invented authors. Source: Maini et al. 2024 (2401.06121), section 2."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from expunge.core.canonical import read_json
from expunge.core.errors import MissingExtra, StoreError
from expunge.core.example import Example, Examples
from expunge.data.rows import to_example

PER_AUTHOR = 20
SPLITS = {"forget01": "retain99", "forget05": "retain95", "forget10": "retain90"}
GENERAL = ("real_authors", "world_facts")
HUB = re.compile(r"[\w.-]+/[\w.-]+")
Row = Mapping[str, Any]
Reader = Callable[[str], Sequence[Row]]


def reader(data: str) -> Reader:
    """How TOFU's files are read.

    Args:
        data: a folder with one JSON array a file, or the name of a data set on a hub such as ``locuslab/TOFU``.

    Returns:
        A function from a file's name without its ending, which is the configuration's name on a hub, to its rows.

    Raises:
        StoreError: there is no such folder and the text is no name of a data set.
    """
    if Path(data).is_dir():
        return partial(_from_folder, Path(data))
    if HUB.fullmatch(data) and not data.startswith("."):
        return partial(_from_hub, data)
    raise StoreError(f"no folder {data}", next="Point --data at a folder with TOFU's files, or name locuslab/TOFU")


def _from_folder(folder: Path, name: str) -> list[Row]:
    file = folder / f"{name}.json"
    if not file.is_file():
        raise StoreError(
            f"{folder} lacks {file.name}", next="Point --data at a folder with TOFU's files, one JSON array each"
        )
    rows = read_json(file)
    if not isinstance(rows, list) or not rows:
        raise StoreError(f"{file} is not a JSON array of records")
    return rows


def _from_hub(data: str, name: str) -> list[Row]:
    try:
        from datasets import load_dataset
    except ImportError as error:
        raise MissingExtra(f"reading {data} from a hub", "stores", "datasets") from error
    try:
        return [dict(row) for row in load_dataset(data, name, split="train")]
    except Exception as error:
        first = str(error).strip().partition("\n")[0]
        raise StoreError(
            f"cannot load {name} of {data}: there is no such folder, and no hub gives it",
            why=first or type(error).__name__,
            next="Where no hub can be reached, point --data at a folder with TOFU's files",
        ) from error


def _overlaid(rows: list[Row], start: int, more: Sequence[Row], name: str) -> None:
    """Give rows the other wordings that another file holds for them."""
    for place, row in enumerate(more, start):
        if place >= len(rows) or any(row.get(field) != rows[place].get(field) for field in ("question", "answer")):
            raise StoreError(f"{name} and the learned rows of TOFU do not belong together", why=f"they part at {place}")
        rows[place] = row


def _authors(rows: Sequence[Row], chosen: range, role: Callable[[int], str], file: str) -> list[Example]:
    found: list[Example] = []
    for index in chosen:
        start = index * PER_AUTHOR
        for place, row in enumerate(rows[start : start + PER_AUTHOR], start):
            example = to_example(row, where=f"{file}, row {place + 1}", default_id=f"{file}-{place:04d}")
            found.append(replace(example, subject=f"{file}-author-{index:03d}", role=role(index)))
    return found


def _never_seen(read: Reader, holdout: str) -> list[Example]:
    """The authors of holdout10: those of ``holdout`` as far as the last half, the others for validation."""
    rows = read("holdout10")
    total = len(rows) // PER_AUTHOR
    first = max(total - len(read(holdout)) // PER_AUTHOR, total // 2)
    return _authors(rows, range(total), lambda i: "holdout" if i >= first else "validation", "holdout10")


def _general(read: Reader) -> list[Example]:
    """Real authors and world facts. They have no paraphrase: the answer itself stands beside the wrong ones."""
    found: list[Example] = []
    for subset in GENERAL:
        file = f"{subset}_perturbed"
        for place, row in enumerate(read(file)):
            fact = to_example(row, where=f"{file}, row {place + 1}", default_id=f"{subset}-{place:03d}")
            found.append(replace(fact, role="general", subset=subset, paraphrased_answer=fact.answer))
    return found


def _whole(read: Reader, learned: list[Example], holdout: str) -> Examples:
    return Examples([*learned, *_never_seen(read, holdout), *_general(read)])


def tofu(read: Reader, *, authors: int, forget: int, start: int | None = None) -> Examples:
    """Some authors, the last of them to be forgotten, with never-seen authors and general facts beside them.

    Only the first and the last 20 authors of the full set have the wrong answers that truth ratios need.

    Args:
        read: see ``reader``.
        authors: that the original learns.
        forget: of them that are forgotten.
        start: position of the first; by default they are the last of the full set.

    Returns:
        Examples of the roles forget, retain, validation and holdout (half of holdout10 each) and general, in the
        subsets real_authors and world_facts, which no model here is trained on.

    Raises:
        StoreError: a file is missing or malformed, there are not that many authors, or those to be forgotten have no
            wrong answers.
    """
    rows = list(read("full"))
    total = len(rows) // PER_AUTHOR
    first = total - authors if start is None else start
    if not (1 <= forget < authors and 0 <= first <= total - authors):
        raise StoreError(
            f"cannot forget {forget} of {authors} authors",
            why=f"the data holds {total}, and at least one must stay",
            next="Choose 1 <= forget < authors",
        )
    last = read("forget10_perturbed")
    _overlaid(rows, 0, read("retain_perturbed"), "retain_perturbed")
    _overlaid(rows, len(rows) - len(last), last, "forget10_perturbed")
    chosen = range(first, first + authors)
    learned = _authors(rows, chosen, lambda i: "forget" if i >= chosen.stop - forget else "retain", "full")
    lacking = [e.record_id for e in learned if e.role == "forget" and not e.perturbed_answer]
    if lacking:
        raise StoreError(
            f"cannot forget {forget} of {authors} authors",
            why=f"{len(lacking)} of their records have no wrong answers, for example {lacking[0]}",
            next=f"Forget at most {len(last) // PER_AUTHOR}",
        )
    return _whole(read, learned, "holdout10")


def tofu_split(read: Reader, split: str) -> Examples:
    """A split of the paper: all 200 authors learned, the last 2, 10 or 20 of them to be forgotten.

    Of the retained rows the first 400 have wrong answers, and are those that the paper evaluates.

    Args:
        read: see ``reader``.
        split: forget01, forget05 or forget10.

    Returns:
        As ``tofu``; the holdout is the split's own file, or the last half of holdout10.

    Raises:
        StoreError: a file is missing or malformed, or there is no such split.
    """
    if split not in SPLITS:
        raise StoreError(f"TOFU has no split {split}", next=f"Choose one of {', '.join(SPLITS)}")
    rows = list(read(SPLITS[split]))
    kept = len(rows) // PER_AUTHOR
    _overlaid(rows, 0, read("retain_perturbed"), "retain_perturbed")
    rows += read(f"{split}_perturbed")
    everyone = range(len(rows) // PER_AUTHOR)
    learned = _authors(rows, everyone, lambda i: "forget" if i >= kept else "retain", "full")
    return _whole(read, learned, f"holdout{split.removeprefix('forget')}")


def read(data: str, *, split: str = "forget10", authors: int = 0, forget: int = 0) -> Examples:
    """The data of the suite: a split of the paper, or with ``authors`` some of them.

    Args:
        data: as for ``reader``.
        split: as for ``tofu_split``.
        authors: as for ``tofu``; 0 for the split.
        forget: as for ``tofu``.

    Raises:
        StoreError: as for either.
    """
    files = reader(data)
    return tofu(files, authors=authors, forget=forget) if authors else tofu_split(files, split)
