"""The curve of replays counts what the method would take again."""

from xml.etree import ElementTree

from benchmarks import exact_page, exact_replay

from expunge.core.files import write_json


def test_counted_shares_agree_with_expected_ones_and_make_a_page(shared, tmp_path, monkeypatch):
    monkeypatch.setattr(exact_replay, "WAYS", ((1, False), (2, True)))
    monkeypatch.setattr(exact_replay, "FORGOTTEN", (1, 2))
    data, model = str(shared / "data" / "tofu"), str(shared / "models" / "stories260K")
    found = exact_replay.measure(data, model, authors=2, draws=3)
    whole, late = found["ways"]
    assert 0.5 < whole["counted"]["1"]["mean"] <= whole["expected"]["1"] == 1.0
    assert late["counted"]["2"]["mean"] <= 0.2, "the others, nine tenths, are trained before"
    write_json(tmp_path / exact_replay.FILE, {"found": found, "code": "other"})
    text, drawn = exact_page.replay_section(tmp_path)
    assert "2 parts, a tenth last" in text and exact_page.OTHER in text
    ElementTree.fromstring(str(drawn["exact-replay.svg"]))


def test_a_planned_training_keeps_every_checkpoint_and_its_end():
    steps = tuple((str(i),) for i in range(12))
    assert exact_replay.Planned((steps, ()), 5).steps_kept(0) == [5, 10, 12]
