"""The report of one run, or a comparison of several, from what lies on disk. Loads no torch."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from expunge.core.canonical import digest, digest_bytes, digest_file, read_json
from expunge.core.errors import ConfigError, EvidenceError, MissingExtra, StoreError
from expunge.core.files import write_bytes, write_json
from expunge.core.manifest import DONE, NAME, PUBLIC, Entry, Manifest
from expunge.workflow.purge_scope import SHARED
from expunge.workflow.run import locked

EVIDENCE = "evidence.json"
PLAIN, WITH_TEXT, COMPARISON = "report.html", "report-with-text.html", "comparison.html"


@dataclass(frozen=True)
class Page:
    """A page that was rendered and not yet written.

    Args:
        html: its text.
        path: where it belongs.
        runs: what it is about.
        personal: whether it shows the text of records.
    """

    html: str
    path: Path
    runs: tuple[Path, ...]
    personal: bool

    @property
    def run(self) -> Path | None:
        """The run below whose folder it lies, None if it lies elsewhere."""
        place = self.path.resolve()
        return next((run for run in self.runs if place.is_relative_to(run.resolve())), None)


def render(runs: Sequence[Path], *, out: Path | None = None, show_text: bool = False) -> Page:
    """Render what runs found. Writes nothing.

    Args:
        runs: folders of one run or of several.
        out: where the page will go; by default ``report.html`` in the run, ``report-with-text.html`` there if it shows
            text, and ``comparison.html`` here for several runs.
        show_text: show the forgotten records and what the models answer.

    Raises:
        ConfigError: the page cannot go there, or text is asked for of several runs.
        StoreError: a folder holds no evidence, or no longer the text.
        EvidenceError: the evidence is malformed, or not about what the score tables hold.
        MissingExtra: text is asked for and the score tables cannot be read without the extra.
    """
    if len({run.resolve() for run in runs}) < len(runs):
        raise ConfigError("a run is named twice", next="Name each run once")
    if show_text and len(runs) > 1:
        raise ConfigError("a comparison shows no text", next="Make a report of each run with --show-text")
    found = [_evidence(run) for run in runs]
    place = out or (Path(COMPARISON) if len(runs) > 1 else runs[0] / (WITH_TEXT if show_text else PLAIN))
    page = Page("", place, tuple(runs), show_text)
    _check_place(page)
    try:
        html = _compared(runs, found) if len(runs) > 1 else _single(runs[0], found[0], show_text)
    except (KeyError, TypeError, AttributeError, ValueError, IndexError) as error:
        where = " or ".join(str(run / EVIDENCE) for run in runs)
        raise EvidenceError(f"{where} is malformed", why=f"{type(error).__name__}: {error}") from error
    return Page(html, place, tuple(runs), show_text)


def _evidence(run: Path) -> dict[str, Any]:
    path = run / EVIDENCE
    if not path.is_file():
        raise StoreError(
            f"{run} holds no evidence",
            why=f"there is no {EVIDENCE}",
            next="Name the folder of a demo or a bench, or run expunge evaluate first",
        )
    value = read_json(path)
    if not isinstance(value, dict):
        raise EvidenceError(f"{path} is malformed", why=f"it holds a {type(value).__name__}")
    return value


def beside(run: Path) -> dict[str, Any]:
    """What the evidence of one request says of its result beside the numbers that are judged.

    Args:
        run: folder of a result that was evaluated.

    Returns:
        ``cost`` of making it, with its ``ratio_to_retraining`` or the reason why that is not known, and every score in
        ``subgroups``; this is empty where nothing groups the records.

    Raises:
        StoreError: the folder holds no evidence.
        EvidenceError: the evidence is malformed.
    """
    from expunge.evaluation.report_cells import methods

    row = methods(_evidence(run))[0]
    ratio = row["cells"]["ratio_to_retraining"]
    told = {"value": ratio["value"], "reason": ratio["reason"]}
    return {"cost": {**row.get("cost", {}), "ratio_to_retraining": told}, "subgroups": row.get("subgroups", [])}


def _check_place(page: Page) -> None:
    if page.path.suffix.lower() not in (".html", ".htm") or page.path.is_dir():
        raise ConfigError(f"{page.path} is no name for a page", next="Give a file name that ends in .html")
    if page.personal and page.run is not None:
        top = page.path.resolve().relative_to(page.run.resolve()).parts[0]
        if top in PUBLIC:
            raise ConfigError(
                f"{page.path} is listed as free of text", next=f"Choose another name, such as {page.run / WITH_TEXT}"
            )


def _single(run: Path, evidence: Mapping[str, Any], show_text: bool) -> str:
    from expunge.evaluation.report import render_report

    if not show_text:
        return render_report(evidence)
    from expunge.workflow.report_text import texts_of

    if importlib.util.find_spec("safetensors") is None:
        raise MissingExtra("expunge report --show-text", "hf", "safetensors")
    return render_report(evidence, texts_of(run, evidence))


def _compared(runs: Sequence[Path], found: Sequence[Mapping[str, Any]]) -> str:
    from expunge.evaluation.report_compare import Run, render_comparison

    parts = zip(short_names(runs), found, map(_corpus, runs), strict=True)
    return render_comparison([Run(*part) for part in parts])


def _corpus(run: Path) -> str:
    """Digest of the records of a run, or of each of its seeds; empty where they are gone or differ."""
    files = [run / name for name in SHARED if (run / name).is_file()] or sorted(run.glob(f"seed-*/{SHARED[0]}"))
    digests = {digest(sorted(digest_bytes(line) for line in path.read_bytes().splitlines())) for path in files}
    return digests.pop() if len(digests) == 1 else ""


def short_names(runs: Sequence[Path]) -> list[str]:
    """As much of the end of each path as tells them apart.

    >>> short_names([Path("runs/a/demo"), Path("runs/b/demo")])
    ['a/demo', 'b/demo']
    """
    parts = [run.resolve().parts for run in runs]
    for length in range(1, max(map(len, parts)) + 1):
        names = ["/".join(part[-length:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    return [str(run) for run in runs]


def write(page: Page) -> None:
    """Write a page. One below a run is entered into the run's manifest, before it is there.

    Raises:
        ConfigError: another process works in the run.
        OSError: the page cannot be written.
    """
    if page.run is None:
        write_bytes(page.path, page.html.encode(), mode=0o600 if page.personal else 0o644)
        return
    with locked(page.run):
        _write_below(page, page.run)


def _write_below(page: Page, run: Path) -> None:
    data, mode = page.html.encode(), 0o600 if page.personal else 0o644
    if not (run / NAME).is_file():
        write_bytes(page.path, data, mode=mode)
        return
    note = read_json(run / DONE) if (run / DONE).is_file() else {}
    stood = bool(note) and note.get("manifest") == digest_file(run / NAME)
    name = page.path.resolve().relative_to(run.resolve()).as_posix()
    others = [entry for entry in Manifest.read(run).entries if entry.path != name]
    entry = Entry(name, digest_bytes(data), len(data), page.personal)
    Manifest(tuple(sorted([*others, entry], key=lambda e: e.path))).write(run)
    write_bytes(page.path, data, mode=mode)
    if stood:
        write_json(run / DONE, {**note, "manifest": digest_file(run / NAME)})
