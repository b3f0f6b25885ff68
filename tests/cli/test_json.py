"""``--json`` wherever a command prints data, for what it did and for what it would do."""

import typer

from expunge.cli.app import app
from expunge.ledger.certify import certificate_path
from expunge.workflow.single import MODEL


def commands(command, name=()):
    below = getattr(command, "commands", None)
    if below is None:
        yield " ".join(name), {option for parameter in command.params for option in parameter.opts}
        return
    for part, child in below.items():
        yield from commands(child, (*name, part))


def test_every_command_takes_json_and_none_takes_dry_run_without_it():
    found = dict(commands(typer.main.get_command(app)))
    assert {"keys new", "ledger export", "certify", "bench tofu"} <= set(found)
    assert [name for name, options in found.items() if "--json" not in options] == []


def test_one_request_from_plan_to_certificate_in_json(world, call, tmp_path):
    out = tmp_path / "out"
    assert call(*world.unlearn(out, "--steps", "2")).code == 0
    would = call(*world.evaluate(out, "--dry-run", "--json")).json
    assert (would["run"], would["written"]) == (str(out), False)
    assert call("certify", out, "--dry-run", "--json").json == {"run": str(out), "evaluated": False, "written": False}
    said = call("certify", out, "--json")
    assert (said.code, said.err) == (0, "")
    assert said.json["path"] == str(certificate_path(out, "model"))
    assert said.json["earned"]["model"]["type"] == "Unproven"
    [artefact] = said.json["certificate"]["artefacts"]
    assert artefact["after"] == call("adopt", "--model", out / MODEL, "--json").json["digest"]


def test_several_requests_say_in_json_what_would_be_done(world, call, tmp_path):
    other = world.path("validation.jsonl")
    given = [a for a in world.unlearn(tmp_path / "out", "--forget", other, "--dry-run") if a != "--validation"]
    given.remove(other)
    for more, in_sequence in (([], False), (["--in-sequence"], True)):
        found = call(*given, *more, "--json").json
        assert found["in_sequence"] is in_sequence
        assert found["forget"][0] == 6 and len(found["forget"]) == 2
        assert call(*given, *more).out.startswith(f"would forget 6 and {found['forget'][1]} records ")
