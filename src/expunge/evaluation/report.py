"""The report of an evaluation: one self-contained page without a script and without the text of any record."""

from __future__ import annotations

from expunge.charts.markup import Markup, element, join
from expunge.evaluation import report_sections as sections
from expunge.evaluation.report_cells import Evidence, check
from expunge.evaluation.report_figures import figures
from expunge.evaluation.report_html import section
from expunge.evaluation.report_style import STYLE

# Nothing may be loaded or run, whatever a label holds.
CONTENT_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def _head(title: str) -> Markup:
    return element(
        "head",
        None,
        element("meta", {"charset": "utf-8"}),
        element("meta", {"http-equiv": "Content-Security-Policy", "content": CONTENT_POLICY}),
        element("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}),
        element("title", None, title),
        element("style", None, Markup(STYLE)),
    )


def render_report(evidence: Evidence) -> str:
    """Render the evidence as a page.

    Args:
        evidence: as ``evidence.json`` holds it. Findings that carry ``difference`` and ``margin`` are also drawn, and
            ``run.bounds`` (``ks``, ``model_utility``) is the corner that is shaded in the first chart.

    Returns:
        HTML that is also well-formed XML: the same bytes for the same evidence.

    Raises:
        EvidenceError: a part is missing or a number cannot be drawn.
    """
    check(evidence)
    drawn = figures(evidence)
    main = element(
        "main",
        {"id": "main"},
        sections.opening(evidence),
        sections.results(evidence),
        sections.questions(evidence),
        section("charts", "Charts", drawn) if drawn else None,
        sections.findings(evidence),
        sections.efficiency(evidence),
        sections.corpus(evidence),
        sections.versions(evidence),
        sections.verification(evidence),
    )
    skip = element("a", {"class": "skip", "href": "#table"}, "Skip to the table")
    title = f"{evidence['run'].get('title') or evidence['run'].get('name') or 'Evaluation'} - Expunge report"
    page = element("html", {"lang": "en"}, _head(title), element("body", None, skip, main))
    return join(Markup("<!DOCTYPE html>\n"), page, Markup("\n"))
