"""Several requests on the command line: a folder each, judged and certified each by itself, continued when killed."""

import base64

import pytest

from expunge.core.canonical import read_json
from expunge.core.progress import listening
from expunge.data.jsonl import dump_examples
from expunge.testing.toy import toy_corpus

FAST = ("--steps", "12", "--save-every", "4")


@pytest.fixture
def forgets(tmp_path):
    """Two files to forget: Ana's records and Bo's."""
    people = toy_corpus().of("forget")
    folder = tmp_path / "asked"
    folder.mkdir()
    for who in ("ana", "bo"):
        rows = dump_examples(type(people)(e for e in people if e.record_id.startswith(who)))
        (folder / f"{who}.jsonl").write_bytes(rows)
    return folder / "ana.jsonl", folder / "bo.jsonl"


@pytest.fixture
def command(world, forgets):
    def of(out, *more):
        return [*world.unlearn(out, "--forget", str(forgets[1]), *FAST, *more, forget=forgets[0])]

    return of


def cards(out):
    return [read_json(out / f"request-{k}" / "outcome.json") for k in (1, 2)]


def interrupt(monkeypatch, call, command, at):
    """Stop the command at its at-th step, counted over all requests."""
    steps = []

    def stop(stage, done, total, note=""):
        steps.append(done)
        if len(steps) == at:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("expunge.engine.train.report", stop)
        assert call(*command).code == 130


def test_files_together_are_one_unlearning_with_a_folder_each(call, command, tmp_path):
    out = tmp_path / "runs" / "both"
    said = call(*command(out, "--json"))
    assert (said.code, said.err) == (0, "")
    assert [r["out"] for r in said.json["requests"]] == [str(out / "request-1"), str(out / "request-2")]
    one, two = cards(out)
    assert one["after"] == two["after"] and one["before"] == two["before"] and one["notes"] == two["notes"]
    assert one["notes"]["batch"]["requests"] == 2
    assert sorted(p.name for p in out.iterdir()) == ["request-1", "request-2"]
    for k, who, other in ((1, "ana", "bo"), (2, "bo", "ana")):
        data = (out / f"request-{k}" / "data.jsonl").read_text()
        assert f"{who}-city" in data and f"{other}-city" not in data


def test_files_in_sequence_build_on_one_another_and_tell_what_is_still_forgotten(call, command, tmp_path):
    out = tmp_path / "runs" / "sequence"
    said = call(*command(out, "--in-sequence"))
    assert (said.code, said.err) == (0, "")
    assert said.out.count("before ") == 2 and said.out.endswith("expunge evaluate\n")
    one, two = cards(out)
    assert two["before"] == one["after"] != one["before"]
    assert one["notes"]["earlier_requests"] == {}
    (told,) = two["notes"]["earlier_requests"].values()
    assert 0 < told < 1 and 0 < two["notes"]["retained_probability"] < 1
    assert two["original"] == str((out / "request-1" / "unlearned").resolve())


def test_each_folder_is_evaluated_and_certified_like_a_single_request(call, command, world, tmp_path):
    out = tmp_path / "runs" / "sequence"
    assert call(*command(out, "--in-sequence")).code == 0
    assert call(*world.evaluate(out / "request-2")).code in (0, 1)
    for k in (1, 2):
        assert call("certify", out / f"request-{k}").code == 0
        certificate = out / f"request-{k}" / "certificates" / "model.certificate.json"
        mine, other = (read_json(out / f"request-{j}" / "request.json") for j in (k, 3 - k))
        assert mine["id"] != other["id"]
        assert call("verify", certificate).code == 0
        statement = base64.b64decode(read_json(certificate)["payload"]).decode()
        assert mine["commitment"] in statement
        assert (other["id"] in statement) == (k == 2), "the second tells how forgotten the first still is"
        assert other["commitment"] not in statement


@pytest.mark.parametrize("how", [(), ("--in-sequence",)])
def test_what_was_stopped_continues_to_the_same_bytes(call, command, leaves, monkeypatch, tmp_path, how):
    calm, out = tmp_path / "calm" / "it", tmp_path / "stopped" / "it"
    assert call(*command(calm, *how)).code == 0
    interrupt(monkeypatch, call, command(out, *how), at=6)
    if how:
        # Once more, in the middle of the second request: the first has its folder by then.
        interrupt(monkeypatch, call, command(out, *how), at=8 + 6)
        assert (out / "request-1" / "outcome.json").exists() and not (out / "request-2" / "outcome.json").exists()
        first = (out / "request-1" / "manifest.json").read_bytes()
    heard: list[int] = []
    with listening(lambda stage, done, total, note="": heard.append(done) if stage == "npo" else None):
        said = call(*command(out, *how))
    assert (said.code, said.err) == (0, "")
    assert heard == list(range(5, 13))
    for a, b in zip(cards(calm), cards(out), strict=True):
        assert (a["before"], a["after"], a["cost"]["tokens"]) == (b["before"], b["after"], b["cost"]["tokens"])
    if how:
        assert (out / "request-1" / "manifest.json").read_bytes() == first
    assert sorted(p.name for p in out.rglob(".*")) == []
    assert f"{out} already holds results" in call(*command(out, *how)).words
    planned = [leaf.entry.request for leaf in leaves() if leaf.entry.kind == "PLAN"]
    assert planned[-2:] == [read_json(out / f"request-{k}" / "request.json")["id"] for k in (1, 2)]
    assert len(planned) == len(set(planned)) == 4, "two for the calm run, two for the stopped one"


def test_a_run_does_not_continue_as_another(call, command, monkeypatch, tmp_path):
    out = tmp_path / "runs" / "it"
    interrupt(monkeypatch, call, command(out, "--in-sequence"), at=17)
    kept = (out / "request-1" / "manifest.json").read_bytes()
    for other in (("--seed", "4"), ("--lr", "0.5"), ("--basis", "another")):
        said = call(*command(out, "--in-sequence", *other))
        assert said.code == 2 and "request-1 holds the answer to something else" in said.words
    assert (out / "request-1" / "manifest.json").read_bytes() == kept
    assert (out / "request-2" / ".work" / "checkpoint").exists(), "a wrong command costs nothing that was done"


def test_wrong_requests_leave_nothing_behind(refused, command, forgets, world, tmp_path):
    out = tmp_path / "out"
    assert "cannot answer requests one after another" in refused(
        2, *world.unlearn(out, "--forget", forgets[1], "--in-sequence", method="prompt_filter", forget=forgets[0])
    )
    twin = forgets[1].parent / "twin.jsonl"
    twin.write_text(forgets[0].read_text().replace("Ana", "Bo", 1))
    assert "two records have the id 'ana-city'" in refused(2, *command(out, "--forget", str(twin)))
    assert "forget and retain overlap" in refused(2, *command(out, "--forget", world.path("retain.jsonl")))
    assert "is not a number" in refused(2, *command(out, "--in-sequence", "--lr", "1e30"), planned=True)


def test_a_dry_run_says_how_many_and_in_what_order(call, command, tmp_path):
    for how, words in (((), "would forget 3 and 3 records together"), (("--in-sequence",), "one after another by npo")):
        said = call(*command(tmp_path / "out", "--dry-run", *how))
        assert said.code == 0 and words in said.out and not (tmp_path / "out").exists()
