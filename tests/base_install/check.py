"""What the base install alone can do: be imported fast, list, verify certificates, and say what it lacks.

Run by the interpreter of a venv that holds ``pip install .`` and nothing more; uses the standard library only.

Usage: check.py --run FOLDER --home FOLDER
FOLDER of --run holds certificates/*.certificate.json, and --home is an EXPUNGE_HOME that trusts their signer.
"""

import argparse
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

IMPORT_SECONDS = 0.3
HEAVY = ("torch", "transformers", "peft", "accelerate", "scipy", "sklearn")
IMPORT = (
    "import json, sys, time; start = time.perf_counter(); import expunge; seconds = time.perf_counter() - start; "
    "print(json.dumps([seconds, sorted(sys.modules)]))"
)


def expunge(folder: Path, home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the installed program in a folder."""
    place = {k: v for k, v in os.environ.items() if k not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    command = [str(Path(sys.executable).with_name("expunge")), *arguments]
    return subprocess.run(
        command, cwd=folder, env={**place, "EXPUNGE_HOME": str(home)}, capture_output=True, text=True, timeout=120
    )


def expect(done: subprocess.CompletedProcess[str], code: int, *said: str) -> None:
    """Fail unless the program ended with the code and said the words."""
    output = done.stdout + done.stderr
    words = " ".join(output.split())
    wrong = [word for word in said if word not in words]
    if done.returncode != code or wrong or "Traceback" in output:
        raise SystemExit(f"{' '.join(done.args)}: exit {done.returncode} (expected {code}), lacks {wrong}\n{output}")


def imports_fast(scratch: Path) -> None:
    """``import expunge`` costs little and loads nothing heavy, and the typing marker is installed."""
    present = [name for name in HEAVY if importlib.util.find_spec(name)]
    if present:
        raise SystemExit(f"this is not the base install: {', '.join(present)} can be imported")
    outputs = [subprocess.check_output([sys.executable, "-c", IMPORT], cwd=scratch, text=True) for _ in range(5)]
    seconds = min(json.loads(output)[0] for output in outputs)
    if seconds >= IMPORT_SECONDS:
        raise SystemExit(f"import expunge took {seconds:.2f} s, the cap is {IMPORT_SECONDS} s")
    spec = importlib.util.find_spec("expunge")
    if not spec or not spec.origin or not Path(spec.origin).with_name("py.typed").exists():
        raise SystemExit("expunge is not installed here, or without py.typed")
    print(f"import expunge: {seconds:.2f} s")


def lists(scratch: Path) -> None:
    """``list`` reads names without importing what is behind them."""
    expect(expunge(scratch, scratch / "home", "list", "methods"), 0, "npo")
    done = expunge(scratch, scratch / "home", "list", "methods", "--json")
    expect(done, 0)
    json.loads(done.stdout)


def knows_the_policies(scratch: Path) -> None:
    """The published policies are shown and verified as they are installed, and not when a byte of them changed."""
    spec = importlib.util.find_spec("expunge")
    published = sorted(Path(str(spec and spec.origin)).parent.glob("evaluation/policies/*.policy.json"))
    names = {path.name.partition(".")[0] for path in published}
    if not {"privacy-default", "safety-default", "research-tofu"} <= names:
        raise SystemExit(f"the published policies are {sorted(names)}")
    for path in published:
        expect(expunge(scratch, scratch / "home", "policy", "show", path.name.partition(".")[0]), 0, "utility floor")
        expect(expunge(scratch, scratch / "home", "policy", "verify", str(path)), 0, "verified")
    altered = scratch / published[0].name
    altered.write_text(published[0].read_text().replace('"sig":"', '"sig":"AA'))
    expect(expunge(scratch, scratch / "home", "policy", "verify", str(altered)), 1)
    print(f"policies: {len(published)} published")


def names_the_extra(scratch: Path) -> None:
    """A command that needs an extra prints the line that installs it, exits 3 and leaves nothing behind."""
    for command in (
        ("demo",),
        ("bench", "tofu", "--data", "tofu", "--model", "m"),
        ("unlearn", "--model", "m", "--forget", "f.jsonl", "--method", "npo", "--out", "o"),
        ("evaluate", "o", "--reference", "r"),
        ("certify", "o"),
    ):
        expect(expunge(scratch, scratch / "home", *command), 3, "pip install 'expunge[hf]'")
    expect(expunge(scratch, scratch / "home", "doctor"), 3, "the extra 'hf' lacks torch", "pip install 'expunge[hf]'")
    left = sorted(path.name for path in scratch.rglob("*"))
    if left:
        raise SystemExit(f"commands that could not run left {left} behind")


def counts_again(folder: Path) -> None:
    """Epsilon is computed again where the base install can, and where it cannot it says so."""
    for name, said in (("whole", "computed again by poisson_gaussian"), ("sampled", "was not computed again")):
        place = folder / name / "run" / "certificates"
        [certificate] = place.glob("*.certificate.json")
        expect(expunge(folder, folder / name / "home", "verify", str(certificate)), 0, said, "verified")


def verifies(run: Path, home: Path, scratch: Path) -> None:
    """Every certificate verifies for a reader who trusts its signer, for no other reader, and not when altered."""
    certificates = sorted((run / "certificates").glob("*.certificate.json"))
    if not certificates:
        raise SystemExit(f"{run} holds no certificates")
    for certificate in certificates:
        expect(expunge(run.parent, home, "verify", str(certificate)), 0, "in the log of", "witnesses 0")
        expect(expunge(scratch, scratch / "home", "verify", str(certificate)), 1, "signer UNKNOWN")
    copy = scratch / run.name
    shutil.copytree(run, copy)
    altered = copy / "certificates" / certificates[0].name
    content = bytearray(altered.read_bytes())
    middle = len(content) // 2
    content[middle] = ord("B") if content[middle] == ord("A") else ord("A")
    altered.write_bytes(content)
    expect(expunge(scratch, home, "verify", str(altered)), 1)
    shutil.copy(certificates[0], altered)
    expect(expunge(scratch, home, "verify", str(altered)), 0, "verified")
    for path in (path for path in copy.rglob("*") if path.is_file() and path.parent.name != "certificates"):
        path.write_bytes(path.read_bytes() + b" ")
        name = path.relative_to(copy).as_posix()
        expect(expunge(scratch, home, "verify", str(altered)), 1, f"changed: {name}", "NOT verified")
    print(f"verify: {len(certificates)} certificates")


def verifies_the_log(run: Path, home: Path, scratch: Path) -> None:
    """The log holds, also for a stranger with its export and key, and a receipt counts only as it was written."""
    receipts = sorted((run / "certificates").glob("*.receipt.json"))
    kept = [part for receipt in receipts for part in ("--against", str(receipt))]
    expect(expunge(run.parent, home, "ledger", "check", *kept), 0, "verified", f"{len(receipts)} kept elsewhere")
    expect(expunge(run.parent, home, "ledger", "export", "--out", str(scratch / "log")), 0)
    (scratch / "key.json").write_text(expunge(run.parent, home, "keys", "export").stdout)
    stranger = scratch / "home"
    expect(expunge(scratch, stranger, "ledger", "check", "log", *kept), 1, "not trusted here", "NOT verified")
    expect(expunge(scratch, stranger, "ledger", "check", "log", "--key", "key.json", *kept), 0, "verified")
    copy = scratch / run.name
    shutil.copytree(run, copy)
    receipt = copy / "certificates" / receipts[0].name
    certificate = receipt.with_name(receipt.name.replace(".receipt.", ".certificate."))
    receipt.write_text(receipt.read_text().replace("EMPIRICAL", "EXACT"))
    expect(expunge(scratch, home, "verify", str(certificate)), 1, "receipt: leaf", "NOT verified")
    receipt.unlink()
    expect(expunge(scratch, home, "verify", str(certificate)), 0, "no receipt beside it")
    print(f"ledger: {len(receipts)} receipts")


def main() -> None:
    """Run all parts, each in an empty folder."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--home", type=Path, required=True)
    given = parser.parse_args()
    run, home = given.run.resolve(), given.home.resolve()
    parts: list[Callable[[Path], None]] = [
        *(imports_fast, lists, knows_the_policies, names_the_extra),
        *(lambda s: verifies(run, home, s), lambda s: verifies_the_log(run, home, s)),
        lambda s: counts_again(run.parent),
    ]
    for part in parts:
        with tempfile.TemporaryDirectory() as scratch:
            part(Path(scratch))
    print("base install: kept")


if __name__ == "__main__":
    main()
