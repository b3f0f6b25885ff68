"""The report: self-contained, inert, complete and readable without its charts."""

import itertools
import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expunge.evaluation.report import render_report
from expunge.evaluation.report_style import STYLE

SAMPLE = Path(__file__).with_name("sample_evidence.json")
SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'"


def load():
    return json.loads(SAMPLE.read_text(encoding="utf-8"))


@pytest.fixture
def evidence():
    return load()


def parsed(evidence):
    return ElementTree.fromstring(render_report(evidence))


def words(node):
    return " ".join("".join(node.itertext()).split())


def poison(value, text):
    """Every string of the evidence replaced, but for the keys and words that select a form."""
    fixed = {"key", "better", "status"}
    if isinstance(value, dict):
        return {k: v if k in fixed else poison(v, text) for k, v in value.items()}
    if isinstance(value, list):
        return [poison(item, text) for item in value]
    return text if isinstance(value, str) else value


def test_the_page_names_its_language_and_viewport(evidence):
    page = render_report(evidence)
    assert page.startswith('<!DOCTYPE html>\n<html lang="en">')
    assert 'name="viewport"' in page


def reversed_keys(value):
    if isinstance(value, dict):
        return {k: reversed_keys(value[k]) for k in reversed(value)}
    return [reversed_keys(item) for item in value] if isinstance(value, list) else value


def test_bytes_depend_on_the_content_alone(evidence):
    assert render_report(evidence) == render_report(reversed_keys(evidence))


def test_one_first_heading_and_no_level_is_skipped(evidence):
    levels = [int(n.tag[1]) for n in parsed(evidence).iter() if re.fullmatch("h[1-6]", str(n.tag))]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


def test_nothing_is_loaded_and_nothing_runs(evidence):
    page = render_report(evidence)
    root = parsed(evidence)
    assert "<script" not in page
    assert not [n for n in root.iter() if n.tag in ("script", "link", "img", "iframe", "object", "form")]
    assert not [k for n in root.iter() for k in n.attrib if k.startswith("on") or k == "src"]
    assert all(n.get("href", "#").startswith("#") for n in root.iter())
    assert "url(" not in STYLE
    assert "@import" not in STYLE
    assert not re.findall(r"https?:", page.replace("http://www.w3.org/2000/svg", ""))


def test_every_link_has_a_target_and_ids_are_unique(evidence):
    root = parsed(evidence)
    ids = [n.get("id") for n in root.iter() if n.get("id")]
    assert len(ids) == len(set(ids))
    assert {n.get("href")[1:] for n in root.iter("a")} <= set(ids)
    assert {n.get("aria-labelledby") for n in root.iter() if n.get("aria-labelledby")} <= set(ids)


def test_hostile_text_is_inert_everywhere():
    root = parsed(poison(load(), HOSTILE))
    assert not [n for n in root.iter() if str(n.tag).rpartition("}")[2] in ("script", "img")]
    assert HOSTILE in words(root)


@given(st.text(max_size=40))
@settings(max_examples=15, deadline=None)
def test_any_text_gives_a_well_formed_page(text):
    evidence = load()
    evidence["items"]["people"] = evidence["items"]["people"][:5]
    parsed(poison(evidence, text))


def test_every_chart_has_a_name_a_description_and_its_table(evidence):
    figures = list(parsed(evidence).iter("figure"))
    assert len(figures) == 3 + 1 + 3 + 5, "three overviews, relearning, three differences, five methods' tokens"
    for figure in figures:
        for svg in figure.findall(f"{SVG}svg"):
            assert svg.find(f"{SVG}title").text
            assert svg.find(f"{SVG}desc").text
        assert figure.find("details/summary").text
        assert len(list(figure.find("details").iter("td"))) > 0
    assert sum(len(list(figure.iter(f"{SVG}svg"))) for figure in figures) == len(
        list(parsed(evidence).iter(f"{SVG}svg"))
    )


def test_tables_are_semantic(evidence):
    for table in parsed(evidence).iter("table"):
        assert words(table.find("caption"))
        assert all(th.get("scope") == "col" for th in table.find("thead").iter("th"))
        for row in table.find("tbody"):
            assert row[0].get("scope") == "row"
            assert len(row) == len(table.find("thead/tr"))


def test_the_first_screen_says_what_was_asked_and_what_came_of_it(evidence):
    page = words(parsed(evidence))
    assert "Forget 120 items about 20 people" in page
    assert "1 of 6 methods met every criterion of research-tofu: calibrated ascent." in page
    assert page.index("Verdicts") < page.index("The table") < page.index("What each number answers")


def test_everything_in_the_evidence_is_told(evidence):
    page = words(parsed(evidence))
    for column in evidence["columns"]:
        assert column["question"] in page
    for row in evidence["rows"]:
        assert all(finding["reason"] in page for finding in row["findings"])
        assert all(cell["reason"] in page for cell in row["cells"].values())
    for name, version in evidence["run"]["versions"].items():
        assert name in page
        assert version in page
    assert "expunge verify runs/demo/certificates/retrained.certificate.json expunge verify" in page
    assert "11.7%" in page


def test_each_dash_of_the_main_table_links_to_its_reason(evidence):
    root = parsed(evidence)
    section = next(n for n in root.iter("section") if n.get("aria-labelledby") == "table")
    notes = {n.get("id"): words(n) for n in section.iter("li")}
    found = 0
    for row, line in zip(evidence["rows"], section.find(".//tbody"), strict=True):
        for column, cell in zip(evidence["columns"], line[1:], strict=True):
            stored = row["cells"].get(column["key"], {"value": row["guarantee"]})
            if stored["value"] is None:
                assert notes[cell.find("sup/a").get("href")[1:]] == stored["reason"]
                found += 1
    assert found == 9


def test_the_least_evidence_gives_a_page():
    run = {"name": "x"}
    least = {"run": run, "columns": [{"key": "ks", "label": "D"}], "rows": [{"key": "npo", "label": "npo"}]}
    root = parsed(least)
    assert not list(root.iter(f"{SVG}svg"))
    assert "not measured" in words(root)


def test_an_interval_without_an_end_is_drawn_as_far_as_it_is_known(evidence):
    evidence["rows"][3]["cells"]["ks"].update(low=None)
    evidence["rows"][4]["findings"][0]["difference"]["high"] = float("inf")
    parsed(evidence)


def luminance(colour):
    parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", [0, 1])
def test_text_has_contrast_in_light_and_dark(scheme):
    blocks = re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", blocks[scheme]))

    def contrast(one, other):
        a, b = sorted((luminance(colours[one]), luminance(colours[other])))
        return (b + 0.05) / (a + 0.05)

    for ink in ("ink", "soft", "link", "earned", "failed", "open", "chart-muted"):
        assert contrast(ink, "paper") >= 4.5, ink
    assert contrast("ink", "wash") >= 4.5
    assert contrast("soft", "wash") >= 4.5
    assert contrast("earned", "earned-wash") >= 4.5
    for graphic in ("chart-first", "chart-second"):
        assert contrast(graphic, "paper") >= 3.0, graphic
