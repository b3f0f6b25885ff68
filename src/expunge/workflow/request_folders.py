"""Several requests on one model, kept in a folder each, which is then evaluated and certified like a single one."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from expunge.core.canonical import read_json
from expunge.core.errors import ConfigError, ExpungeError
from expunge.core.manifest import NAME
from expunge.core.request import Records, Wish
from expunge.core.selection import Selection
from expunge.core.wishes import answering, require_answers
from expunge.workflow.asked import kept_request, require_at_hand, require_unpurged
from expunge.workflow.own_rate import warn_untuned
from expunge.workflow.requests import Answer, in_turn, sequential, shared_out, together, with_earlier
from expunge.workflow.run import locked, require_extra
from expunge.workflow.single import (
    CARD,
    MODEL,
    ROLES,
    WORK,
    Paths,
    asked_of,
    keep_result,
    read_outcome,
    read_selection,
    remove_unfinished,
    tuned,
)
from expunge.workflow.verbs import adopt, check, unlearn_selection


def folders_of(out: Path, requests: int) -> list[Path]:
    """Where the answers are kept, in the order of the requests."""
    return [out / f"request-{place + 1}" for place in range(requests)]


def prepare_several(
    paths: Sequence[Paths],
    method: str,
    out: Path,
    settings: Mapping[str, Any],
    *,
    in_sequence: bool,
    wish: Wish = "as_retrained",
    seed: int = 0,
    whole: bool = False,
) -> tuple[list[Selection], Any, Any]:
    """Read and check whatever can be checked without a step of training. Writes nothing.

    Args:
        paths: one a request; they differ in what is to be forgotten.
        method: name of a method.
        out: folder for the folders of the requests.
        settings: of the method, where they differ from its defaults.
        in_sequence: whether each request is answered on the model that the one before it gave.
        wish: what the model should do instead.
        seed: of each run.
        whole: check also what the model must be run for.

    Returns:
        The selections, the method and the target.

    Raises:
        ExpungeError: whatever is wrong with model, data, method, settings or folder.
    """
    require_extra("expunge unlearn")
    chosen = answering(tuned(method, settings), wish)
    if in_sequence:
        sequential(chosen, len(paths))
    selections = [read_selection(each) for each in paths]
    union = together(selections)
    require_answers(union, wish)
    _check_free(out, len(paths))
    target = adopt(paths[0].model)
    for role in ROLES:
        target.template.encode_all(union.role(role))
    for selection in in_turn(selections) if in_sequence else [union]:
        check(chosen, target, selection, seed=seed, whole=whole)
    warn_untuned(chosen, settings, target)
    return selections, chosen, target


def _check_free(out: Path, requests: int) -> None:
    """Raise unless the folder is new, empty, or holds what a killed run of as many requests left."""
    folders = folders_of(out, requests)
    for folder in folders:
        require_unpurged(folder)
        if not _finished(folder):
            require_at_hand(folder)
    if all(_finished(folder) for folder in folders):
        raise ConfigError(f"{out} already holds results", next="Choose another --out, or remove the folder")
    ours = {folder.name for folder in folders} | {WORK}
    others = sorted(p.name for p in out.iterdir() if p.name not in ours) if out.is_dir() else []
    if others:
        raise ConfigError(
            f"{out} holds other files", why=f"for example {others[0]}", next="Choose an empty folder, or a free name"
        )


def _finished(folder: Path) -> bool:
    return (folder / CARD).exists() and (folder / NAME).exists()


def unlearn_several(
    paths: Sequence[Paths],
    method: str,
    out: Path,
    *,
    settings: Mapping[str, Any],
    in_sequence: bool = False,
    basis: str = "",
    wish: Wish = "as_retrained",
    seed: int = 0,
) -> tuple[Answer, ...]:
    """Forget what several files list, together or one after another, and keep each result in a folder of its own.

    Args:
        paths: one a request; they differ in what is to be forgotten.
        method: name of a method.
        out: folder for the folders of the requests; the same command continues in it.
        settings: of the method, where they differ from its defaults.
        in_sequence: answer each request on the model that the one before it gave.
        basis: ground of the requests.
        wish: what the model should do instead.
        seed: of each run.

    Raises:
        ExpungeError: whatever is wrong with model, data, method or settings. Requests that were answered before keep
            their folders; the others leave none.
    """
    asked: dict[str, Any] = {"in_sequence": in_sequence, "wish": wish, "seed": seed}
    selections, chosen, target = prepare_several(paths, method, out, settings, **asked)
    folders = folders_of(out, len(paths))
    with locked(out):
        _check_free(out, len(paths))
        for folder, selection in zip(folders, selections, strict=True):
            _check_same(folder, Records(*selection.forget.ids), basis, wish, chosen, seed)
        try:
            if in_sequence:
                return _one_by_one(target, paths[0].model, selections, chosen, folders, basis, wish, seed, settings)
            (out / WORK).mkdir(exist_ok=True)
            whole = together(selections)
            # All are kept before the first answer is, which names the batch by them.
            requests = [
                asked_of(folder, selection, basis, target, chosen, seed, read=whole, wish=wish)
                for folder, selection in zip(folders, selections, strict=True)
            ]
            outcome = unlearn_selection(target, whole, chosen, seed=seed, workdir=out / WORK, wish=wish)
            answers = shared_out(outcome, requests, selections)
            for folder, answer in zip(folders, answers, strict=True):
                if not _known(folder, answer.outcome):
                    keep_result(folder, paths[0].model, answer.outcome.selection, answer.outcome, settings)
            shutil.rmtree(out / WORK, ignore_errors=True)
        except ExpungeError:
            _remove_unanswered(out, folders)
            raise
    return answers


def _one_by_one(
    target: Any,
    model: str,
    selections: Sequence[Selection],
    method: Any,
    folders: Sequence[Path],
    basis: str,
    wish: Wish,
    seed: int,
    settings: Mapping[str, Any],
) -> tuple[Answer, ...]:
    answers: list[Answer] = []
    for selection, folder in zip(in_turn(selections), folders, strict=True):
        outcome: Any = read_outcome(folder) if _finished(folder) else None
        if outcome is None:
            (folder / WORK).mkdir(parents=True, exist_ok=True)
            asked_of(folder, selection, basis, target, method, seed, wish=wish)
            outcome = unlearn_selection(target, selection, method, seed=seed, workdir=folder / WORK, wish=wish)
            outcome = with_earlier(outcome, [(a.request, a.outcome.selection.forget) for a in answers])
            keep_result(folder, model, selection, outcome, settings)
            shutil.rmtree(folder / WORK, ignore_errors=True)
        elif outcome.before != target.digest():
            raise _another(folder)
        answers.append(Answer(kept_request(folder), outcome))
        target, model = outcome.target, str(folder / MODEL)
    return tuple(answers)


def _known(folder: Path, outcome: Any) -> bool:
    """Whether a folder holds this outcome already.

    Raises:
        ConfigError: it holds another.
    """
    if not _finished(folder):
        return False
    kept = read_outcome(folder)
    if (kept.before, kept.target.digest()) != (outcome.before, outcome.target.digest()):
        raise _another(folder)
    return True


def _another(folder: Path) -> ConfigError:
    return ConfigError(
        f"{folder} holds the answer to something else",
        why="its records, method, seed or model are others",
        next="Choose another --out, or remove the folder",
    )


def _check_same(folder: Path, scope: Records, basis: str, wish: Wish, method: Any, seed: int) -> None:
    """Raise where a folder answers another request, or the same one in another way.

    Raises:
        ConfigError: it does.
    """
    if not _finished(folder):
        return
    kept, card = kept_request(folder), read_json(folder / CARD)
    asked = (kept.scope, kept.basis, kept.wish, card["recipe"], card["seed"])
    if asked != (scope, basis, wish, method.digest(), seed):
        raise _another(folder)


def _remove_unanswered(out: Path, folders: Sequence[Path]) -> None:
    for folder in folders:
        if not _finished(folder):
            remove_unfinished(folder)
            with suppress(OSError):
                folder.rmdir()
    shutil.rmtree(out / WORK, ignore_errors=True)
