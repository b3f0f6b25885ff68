"""Tables of SQLite databases."""

from expunge.data.opening import Opener
from expunge.data.sqlite import SqliteStore

sqlite = Opener(
    SqliteStore,
    endings=(".sqlite", ".sqlite3", ".db"),
    head=lambda head: head.startswith(b"SQLite format 3\0"),
    options=("table",),
)
