"""The report of an evaluation: one self-contained page without a script; without text of records unless it is given."""

from __future__ import annotations

from expunge.charts.markup import Markup, element, join
from expunge.evaluation import report_sections as sections
from expunge.evaluation.report_cells import Evidence, check
from expunge.evaluation.report_figures import figures
from expunge.evaluation.report_html import section
from expunge.evaluation.report_items import Texts, items
from expunge.evaluation.report_style import STYLE
from expunge.evaluation.report_subgroups import subgroups

# Nothing may be loaded or run, whatever a label holds.
CONTENT_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
WARNING = (
    "This page shows the text of records that were to be forgotten. It is personal data: keep it no longer than needed."
)


def page(title: str, skip_to: tuple[str, str], *content: object) -> str:
    """A whole page.

    Args:
        title: of the window.
        skip_to: id and words of the link that passes over the opening.
        content: of the main part.

    Returns:
        HTML that is also well-formed XML.
    """
    skip = element("a", {"class": "skip", "href": f"#{skip_to[0]}"}, skip_to[1])
    body = element("body", None, skip, element("main", {"id": "main"}, *content))
    return join(Markup("<!DOCTYPE html>\n"), element("html", {"lang": "en"}, _head(title), body), Markup("\n"))


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


def render_report(evidence: Evidence, texts: Texts | None = None) -> str:
    """Render the evidence as a page.

    Args:
        evidence: as ``evidence.json`` holds it. Findings that carry ``difference`` and ``margin`` are also drawn, and
            ``run.bounds`` (``ks``, ``model_utility``) is the corner that is shaded in the first chart.
        texts: what the forgotten items say; shown only if given, and the page then says that it holds personal data.

    Returns:
        HTML that is also well-formed XML: the same bytes for the same evidence.

    Raises:
        EvidenceError: a part is missing or a number cannot be drawn.
    """
    check(evidence)
    drawn = figures(evidence)
    return page(
        f"{evidence['run'].get('title') or evidence['run'].get('name') or 'Evaluation'} - Expunge report",
        ("table", "Skip to the table"),
        element("p", {"class": "warning"}, WARNING) if texts else None,
        sections.opening(evidence),
        sections.results(evidence),
        sections.questions(evidence),
        section("charts", "Charts", drawn) if drawn else None,
        items(evidence, texts),
        sections.findings(evidence),
        subgroups(evidence),
        sections.efficiency(evidence),
        sections.corpus(evidence, shows_text=texts is not None),
        sections.versions(evidence),
        sections.verification(evidence),
    )
