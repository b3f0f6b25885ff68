"""Item by item: numbers always, text only where it was given."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expunge.evaluation import report_items
from expunge.evaluation.report import render_report
from expunge.evaluation.report_items import Texts, items

SAMPLE = Path(__file__).with_name("sample_evidence.json")
SECRET = "Jorule was born in Cape Dunford"


@pytest.fixture(scope="module")
def evidence():
    return json.loads(SAMPLE.read_text(encoding="utf-8"))


def texts(evidence, said=SECRET, **more):
    count = len(evidence["items"]["people"])
    answers = [f"{said} {k + 1}" for k in range(count)]
    return Texts(answers, **{"questions": answers, "generated": {"npo": answers[::-1]}, **more})


def words(node):
    return " ".join("".join(node.itertext()).split())


def test_every_score_of_every_item_is_in_a_table(evidence):
    root = ElementTree.fromstring(items(evidence))
    tables = {words(t.find("caption")).partition(" (")[0]: t for t in root.iter("table")}
    shown = tables["Probability of the answer"]
    heads = [words(th) for th in shown.find("thead/tr")]
    assert heads[:3] == ["item", "person", "original"]
    scores = evidence["items"]["scores"]["probability"]
    keys = [row["key"] for row in evidence["rows"] if row["key"] in scores]
    for n, line in enumerate(shown.find("tbody")):
        assert words(line[0]) == f"item {n + 1}"
        assert [float(words(td)) for td in line[2:]] == [scores[key][n] for key in keys]


def test_a_list_that_is_cut_says_so(evidence, monkeypatch):
    monkeypatch.setattr(report_items, "LISTED", 50)
    told = words(ElementTree.fromstring(items(evidence)))
    assert "Only the first 50 items are listed; 70 follow them." in told
    assert "50 of 120 items" in told


def test_no_text_without_asking_and_a_warning_with_it(evidence):
    plain, told = render_report(evidence), render_report(evidence, texts(evidence))
    assert SECRET not in plain and "personal data" not in plain and "holds no text of any record" in plain
    assert SECRET in told and "It is personal data" in told and "holds no text of any record" not in told


def test_each_text_stands_beside_its_own_number(evidence):
    root = ElementTree.fromstring(items(evidence, texts(evidence)))
    [table] = [t for t in root.iter("table") if "What each model answers" in words(t.find("caption"))]
    for line in table.find("tbody"):
        number = int(words(line[0]).removeprefix("item "))
        said = [int(words(td).rpartition(" ")[2]) for td in line[1:]]
        assert said == [number, number, 121 - number]


def test_tokens_are_shown_where_they_fit_the_strip_and_positions_elsewhere(evidence):
    strip = evidence["rows"][5]["strips"][1]
    named = [f"word{k}" for k in range(len(strip["after"]))]
    fits = words(ElementTree.fromstring(items(evidence, texts(evidence, tokens={strip["item"]: named}))))
    assert "1 word0" in fits
    short = words(ElementTree.fromstring(items(evidence, texts(evidence, tokens={strip["item"]: named[1:]}))))
    assert "word1" not in short


def test_lost_questions_are_named_as_lost(evidence):
    told = words(ElementTree.fromstring(items(evidence, texts(evidence, questions=()))))
    assert "no longer kept" in told


@given(st.text(max_size=60))
@settings(max_examples=6, deadline=None)
def test_any_generation_gives_a_well_formed_section_of_the_same_elements(said):
    evidence = json.loads(SAMPLE.read_text(encoding="utf-8"))
    evidence["items"]["people"] = evidence["items"]["people"][:3]
    token = Texts([said] * 3, [said] * 3, {"npo": [said] * 3}, {63: [said] * 5})
    calm = Texts(["x"] * 3, ["x"] * 3, {"npo": ["x"] * 3}, {63: ["x"] * 5})
    shown, expected = (ElementTree.fromstring(items(evidence, found)) for found in (token, calm))
    skeleton = [[n.tag for n in root.iter("*") if "text" not in n.tag] for root in (shown, expected)]
    assert skeleton[0] == skeleton[1]
