"""SQLite files that leave no bytes of deleted rows behind, opened through apsw."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from expunge.core.errors import MissingExtra, StoreError

OLDEST = 3_042_000
"""First SQLite in which FTS5 knows ``secure-delete``."""

# A rollback journal, not a WAL: one process holds the store, so a WAL's readers beside a writer are not needed, and
# after each commit every byte is in the one main file. EXTRA syncs the folder, so a removed journal stays removed.
# Temporary tables in memory: VACUUM would otherwise copy live rows to a file elsewhere.
_SETTINGS = {"secure_delete": 1, "journal_mode": "delete", "synchronous": 3, "temp_store": 2}


def connect(path: Path) -> Any:
    """Open a database so that deleting overwrites, and make sure that it does.

    Args:
        path: of the file, made if it is absent.

    Returns:
        An ``apsw.Connection``.

    Raises:
        MissingExtra: apsw is not installed.
        StoreError: not a database, or this SQLite does not do what is asked.
    """
    try:
        import apsw
    except ImportError as error:
        raise MissingExtra("a datastore", "stores", "apsw") from error
    if apsw.SQLITE_VERSION_NUMBER < OLDEST:
        raise StoreError("this SQLite is too old for a datastore", why="FTS5 has no secure-delete before 3.42")
    try:
        connection = apsw.Connection(str(path))
        for name, value in _SETTINGS.items():
            connection.pragma(name, value)
        check(connection)
    except apsw.Error as error:
        raise StoreError(f"cannot open {path}", why=str(error)) from error
    return connection


def check(connection: Any) -> None:
    """Raise unless the settings that keep deleted rows from staying are in force.

    Raises:
        StoreError: names the setting.
    """
    for name, value in _SETTINGS.items():
        found = connection.pragma(name)
        if found != value:
            raise StoreError(f"SQLite refuses {name} = {value}", why=f"it stays {found}")


def check_words(connection: Any, table: str) -> None:
    """Raise unless an FTS5 table removes terms at once instead of marking them deleted.

    Raises:
        StoreError: the switch is off.
    """
    if connection.execute(f"SELECT v FROM {table}_config WHERE k = 'secure-delete'").get != 1:
        raise StoreError("the text index keeps deleted words", why="its switch secure-delete is off")
