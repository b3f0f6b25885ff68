"""JSON Lines, gzipped or not, and JSON arrays."""

from expunge.data.jsonl import BYTE_ORDER_MARK, GZIP, JsonlStore
from expunge.data.opening import Opener

jsonl = Opener(
    JsonlStore,
    endings=(".jsonl", ".json", ".jsonl.gz", ".json.gz", ".ndjson"),
    head=lambda head: head.startswith(GZIP) or head.removeprefix(BYTE_ORDER_MARK).lstrip()[:1] in (b"{", b"["),
)
