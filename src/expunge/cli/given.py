"""What arguments name: where it does not exist the command was used wrongly, and nothing was found to be untrue."""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from expunge.core.canonical import digest_file
from expunge.core.errors import ConfigError, LedgerError, StoreError

Scorers = Annotated[
    list[str] | None, typer.Option(help="COLUMN=module:function that fills a column, for instance toxicity.")
]
LONGEST_BASIS = 120
"""Characters: enough to name a law or a contract, too few for a letter."""
_ADDRESS = re.compile(r"[^\s@]+\s*@\s*[^\s@]")


def present(path: Path, what: str) -> Path:
    """A path that exists. What cannot be a path, such as an overlong name, does not.

    Raises:
        StoreError: it does not.
    """
    if not os.path.exists(path):
        raise StoreError(f"cannot read the {what} {path}", why="there is no such file or folder", next="Check the path")
    return path


def find_own_modules() -> None:
    """Let modules in the working folder be found, as those that a recipe or a scorer names."""
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())


def public_key(given: str) -> Any:
    """A public key from the text of an argument or the file that it names.

    Raises:
        ConfigError: it is neither.
        LedgerError: the file holds none.
    """
    from expunge.ledger.keys import load_public

    try:
        return load_public(given)
    except LedgerError as error:
        if os.path.exists(given):
            raise
        raise ConfigError(error.what, why=error.why, next=error.next) from error


def judging(policy: str | None, key: str | None) -> tuple[Any, bytes]:
    """The policy of that name, or in that file if a trusted key signed it, and the file; None where none is named.

    Raises:
        ConfigError: a key is given without a policy file.
        ExpungeError: there is no such policy, or nobody trusted signed it.
    """
    if policy is None:
        if key is not None:
            raise ConfigError("--key goes with --policy FILE")
        return None, b""
    from expunge.workflow.policy_file import judging as judged_by

    return judged_by(policy, None if key is None else public_key(key))


def pinned(policy: str | None, key: str | None, kind: str) -> Any:
    """The signed privacy policy in that file, with the kind that it will judge; None where it is no such file.

    Raises:
        ConfigError: a kind is named without a privacy policy, or none with one.
        LedgerError: nobody trusted signed it.
    """
    from expunge.workflow.privacy_pinned import is_privacy, pin

    if policy is None or not Path(policy).is_file() or not is_privacy(Path(policy)):
        if kind:
            raise ConfigError("--kind goes with a signed privacy policy", next="Give its file with --policy")
        return None
    return pin(Path(policy), kind, key=None if key is None else public_key(key))


def impersonal(basis: str) -> str:
    """The ground of a request, which certificates show to anybody.

    Raises:
        ConfigError: it is long, or looks like it names a person. That it names none cannot be checked.
    """
    next = "Name a law, a contract or a case number"
    if _ADDRESS.search(basis):
        raise ConfigError(
            "--basis seems to hold an e-mail address", why="it stands in the certificate as it is", next=next
        )
    if len(basis) > LONGEST_BASIS:
        why = f"it has {len(basis)} characters and may have {LONGEST_BASIS}"
        raise ConfigError("--basis is too long", why=f"{why}, for it stands in the certificate as it is", next=next)
    return basis


def one_each(files: Sequence[Path]) -> None:
    """Raise where a file is named twice, be it by a link or as a copy.

    Raises:
        ConfigError: names it.
    """
    seen: set[str] = set()
    for path in files if len(files) > 1 else ():
        key = digest_file(path) if path.is_file() else str(path.resolve())
        if key in seen:
            raise ConfigError(
                f"--forget {path} is given twice", why="the same records would be two requests", next="Leave it out"
            )
        seen.add(key)


def assigned(texts: Sequence[str]) -> dict[str, bool | int | float | str]:
    """Settings written as NAME=VALUE, numbers as numbers, true and false as what they say.

    Raises:
        ConfigError: a text is not of that form, or names a setting again.

    >>> assigned(["beta=0.3", "steps=40", "decay=linear", "by_relation=true"])
    {'beta': 0.3, 'steps': 40, 'decay': 'linear', 'by_relation': True}
    """
    found: dict[str, bool | int | float | str] = {}
    for text in texts:
        name, _, value = (part.strip() for part in text.partition("="))
        if not name or not value or name in found:
            why = "the setting is given twice" if name in found else "it is not NAME=VALUE"
            raise ConfigError(f"--set cannot be {text!r}", why=why, next="Write for example --set beta=0.3")
        found[name] = {"true": True, "false": False}.get(value, value)
        for kind in (float, int):
            with suppress(ValueError):
                found[name] = kind(value)
    return found


def scorers_of(texts: Sequence[str]) -> dict[str, Any]:
    """Scorers written as COLUMN=module:function, imported; a module in the working folder is found too.

    Raises:
        ConfigError: a text is not of that form, names a column again or none that scorers fill, or its function cannot
            be imported or called.
    """
    from expunge.core.scorer import check_scorers, fillable

    found: dict[str, Any] = {}
    for text in texts:
        column, _, place = text.partition("=")
        module, _, function = place.partition(":")
        given = {"what": f"--scorer cannot be {text!r}", "next": "Write for example --scorer toxicity=mine:score"}
        if column not in fillable() or column in found:
            why = "the column is given twice" if column in found else f"scorers fill {', '.join(fillable())}"
            raise ConfigError(**given, why=why)
        find_own_modules()
        try:
            found[column] = getattr(importlib.import_module(module), function)
            check_scorers({column: found[column]})
        except ConfigError as error:
            raise ConfigError(**given, why=f"{place} cannot be called") from error
        except Exception as error:
            # Another's module is run: what it raises is not known.
            raise ConfigError(**given, why=f"{type(error).__name__}: {error}") from error
    return found
