"""The application: collects the verbs, turns deliberate errors into one message and an exit code."""

from __future__ import annotations

import contextlib
import io
import logging
import sys
from collections.abc import Generator, Sequence

import typer
from typer.exceptions import TyperException

from expunge.cli.accounting import accounting
from expunge.cli.adopt import adopt
from expunge.cli.audit import audit
from expunge.cli.bench import bench
from expunge.cli.certify import certify
from expunge.cli.demo import demo
from expunge.cli.doctor import doctor
from expunge.cli.evaluate import evaluate
from expunge.cli.keys import keys
from expunge.cli.ledger import ledger
from expunge.cli.listing import listing
from expunge.cli.policy import policy
from expunge.cli.privacy import privacy
from expunge.cli.purge import purge
from expunge.cli.report import report
from expunge.cli.several import Several
from expunge.cli.showing import add
from expunge.cli.suite import suite
from expunge.cli.sweep import sweep
from expunge.cli.train import train
from expunge.cli.unlearn import unlearn
from expunge.cli.verify import verify
from expunge.core.errors import ConfigError, ExpungeError
from expunge.core.launch import rank, started

app = typer.Typer(
    name="expunge",
    help="Machine unlearning that people can rely on.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    epilog="Example: expunge demo",
)
VERBS = {
    "demo": demo,
    "doctor": doctor,
    "list": listing,
    "train": train,
    "adopt": adopt,
    "unlearn": unlearn,
    "evaluate": evaluate,
    "suite": suite,
    "certify": certify,
    "verify": verify,
    "report": report,
    "purge": purge,
}
for name, verb in VERBS.items():
    add(app, name, verb)
add(app, "sweep", sweep, kind=Several)
app.add_typer(accounting, name="accounting")
app.add_typer(audit, name="audit")
app.add_typer(bench, name="bench")
app.add_typer(keys, name="keys")
app.add_typer(ledger, name="ledger")
app.add_typer(policy, name="policy")
app.add_typer(privacy, name="privacy")


STOPPED = 130
"""What typer makes of Ctrl-C."""

IN_PYTHON = {
    f"Name one with {argument}": f" That is an argument of load_data in Python: here, give a file with one {what}."
    for argument, what in (("table=", "table of records"), ("split=", "split"))
}
"""Advice that only Python can follow -> what to do on the command line."""


def _check_together(arguments: Sequence[str]) -> None:
    """Raise where a launcher started several processes of what is one process's work."""
    options = [argument.partition("=")[0] for argument in arguments]
    alone = options.count("--forget") > 1 or {"--from", "--import", "--across"} & set(options)
    if started() > 1 and (alone or not {"unlearn", "evaluate", "suite"} & set(options[:1])):
        raise ConfigError(
            f"{started()} processes were started",
            why="only the unlearning of one request, the measuring of its result and a suite are shared among them",
            next="Start this command without a launcher",
        )


@contextlib.contextmanager
def _first_speaks() -> Generator[None]:
    """The first process prints and warns for all; what goes wrong in another is said by that one."""
    if rank() == 0:
        yield
        return
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(before)


def run(arguments: Sequence[str]) -> int:
    """Run one command.

    Args:
        arguments: without the program's name.

    Returns:
        0 ok, 1 a claim is not met, 2 usage, 3 environment, 130 stopped by the user.
    """
    name = f"expunge (process {rank()})" if rank() else "expunge"
    try:
        _check_together(arguments)
        with _first_speaks():
            result = app(list(arguments) or ["--help"], prog_name="expunge", standalone_mode=False)
    except ExpungeError as error:
        sys.stderr.write(f"{name}: {error}{IN_PYTHON.get(error.next, '')}\n")
        return error.exit_code
    except TyperException as error:
        context = getattr(error, "ctx", None)
        place = context.command_path if context else "expunge"
        said = error.format_message().rstrip(".")
        sys.stderr.write(f"{name}: {said}{'' if said.endswith('?') else '.'} See: {place} --help\n")
        return 2
    except OSError as error:
        sys.stderr.write(f"{name}: {error}\n")
        return 3
    code = result if isinstance(result, int) else 0
    if code == STOPPED:
        sys.stderr.write(f"{name}: stopped. The same command continues.\n")
    return code
