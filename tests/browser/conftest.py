"""Pages from made-up evidence, opened in a real browser that reaches nothing but them."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from expunge.evaluation.report import render_report
from expunge.evaluation.report_compare import Run, render_comparison
from expunge.evaluation.report_items import Texts

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"]
SAMPLE = Path(__file__).parent.parent / "evaluation" / "sample_evidence.json"
MODELS = ("original", "retrained", "npo", "prompt_filter")
ITEMS, TOKENS = 6, 12
HOSTILE = (
    "<script>document.title='run'</script>",
    "\"'><img src=x onerror=\"document.title='run'\">",
    "</td></table><style>body{display:none}</style>",
    "right to left: שלום עולם \u202eevil\u202c and controls \x00\x1b[2J",
    "word" * 200,
    "&lt;b&gt; &#x3c; ]]> <!-- --> ${x} {{x}}",
)


def lacking(reason: str) -> None:
    """Skip, but fail where the gates run."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def browser(tmp_path_factory) -> Iterator:
    """Debian's chromium with an empty profile."""
    program = shutil.which("chromium")
    if program is None:
        lacking("needs chromium; .ci/apt.sh installs it")
    playwright = pytest.importorskip("playwright.sync_api") if os.environ.get("CI") != "true" else None
    if playwright is None:
        import playwright.sync_api as playwright
    with playwright.sync_playwright() as driver:
        profile = tmp_path_factory.mktemp("profile")
        opened = driver.chromium.launch_persistent_context(
            str(profile), executable_path=program, args=FLAGS, viewport={"width": 1280, "height": 900}
        )
        yield opened
        opened.close()


def sample(policy: str = "1") -> dict:
    """The sample with few items and models: every kind of element, but few of each, for axe looks at them all."""
    evidence = json.loads(SAMPLE.read_text(encoding="utf-8"))
    evidence["run"]["measured_by"]["policy"] = policy
    evidence["rows"] = [row for row in evidence["rows"] if row["key"] in MODELS]
    items = evidence["items"]
    items["people"] = items["people"][:ITEMS]
    items["scores"] = {n: {k: v[:ITEMS] for k, v in s.items() if k in MODELS} for n, s in items["scores"].items()}
    for row in evidence["rows"]:
        for place, strip in enumerate(row.get("strips", ())):
            strip["item"] = place + 1
            strip |= {part: strip[part][:TOKENS] for part in ("before", "after", "retrained")}
    return evidence


def hostile(count: int) -> Texts:
    said = list(HOSTILE[:count])
    tokens = {2: ["<script>", "\"'", "שלום", "w" * 300, "(end)"]}
    return Texts(said, said, {"original": said, "npo": said[::-1]}, tokens)


@pytest.fixture(scope="session")
def pages(tmp_path_factory) -> dict[str, Path]:
    """Name -> file: a report, one with the text of records, a comparison of runs that may and may not be compared."""
    folder, evidence = tmp_path_factory.mktemp("pages"), sample()
    other = sample()
    other["rows"][2]["cells"]["ks"].update(value=0.2, low=0.15, high=0.25)
    runs = [Run("a", evidence, "same"), Run("b", other, "same"), Run("c", sample("2"), "")]
    made = {
        "report": render_report(evidence),
        "text": render_report(evidence, hostile(len(evidence["items"]["people"]))),
        "comparison": render_comparison(runs[:2]),
        "apart": render_comparison(runs),
    }
    for name, html in made.items():
        (folder / f"{name}.html").write_text(html, encoding="utf-8")
    return {name: folder / f"{name}.html" for name in made}


@pytest.fixture
def opened(browser, pages) -> Iterator:
    """Open a page by name; what it loads and complains of is noted on it as ``loaded`` and ``complaints``."""
    tabs = []

    def open_page(name: str, *, scheme: str = "light", media: str = "screen", width: int = 1280):
        tab = browser.new_page()
        tabs.append(tab)
        tab.loaded, tab.complaints = [], []
        tab.on("request", lambda request: tab.loaded.append(request.url))
        tab.on("console", lambda message: tab.complaints.append(message.text))
        tab.on("pageerror", lambda error: tab.complaints.append(str(error)))
        tab.emulate_media(color_scheme=scheme, media=media)
        tab.set_viewport_size({"width": width, "height": 900})
        tab.goto(pages[name].as_uri())
        return tab

    yield open_page
    for tab in tabs:
        tab.close()
