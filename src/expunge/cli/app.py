"""The application: collects the verbs, turns deliberate errors into one message and an exit code."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer
from typer.exceptions import TyperException

from expunge.cli.bench import bench
from expunge.cli.certify import certify
from expunge.cli.demo import demo
from expunge.cli.doctor import doctor
from expunge.cli.evaluate import evaluate
from expunge.cli.listing import listing
from expunge.cli.unlearn import unlearn
from expunge.cli.verify import verify
from expunge.core.errors import ExpungeError

app = typer.Typer(
    name="expunge",
    help="Machine unlearning that people can rely on.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command("demo")(demo)
app.command("doctor")(doctor)
app.command("list")(listing)
app.command("unlearn")(unlearn)
app.command("evaluate")(evaluate)
app.command("certify")(certify)
app.command("verify")(verify)
app.add_typer(bench, name="bench")


def run(arguments: Sequence[str]) -> int:
    """Run one command.

    Args:
        arguments: without the program's name.

    Returns:
        0 ok, 1 a claim is not met, 2 usage, 3 environment, 130 stopped by the user.
    """
    try:
        result = app(list(arguments) or ["--help"], prog_name="expunge", standalone_mode=False)
    except ExpungeError as error:
        sys.stderr.write(f"expunge: {error}\n")
        return error.exit_code
    except typer.Exit as error:
        return error.exit_code
    except TyperException as error:
        sys.stderr.write(f"expunge: {error.format_message()}\n")
        return 2
    except (KeyboardInterrupt, typer.Abort):
        sys.stderr.write("expunge: stopped. The same command continues.\n")
        return 130
    return result if isinstance(result, int) else 0
