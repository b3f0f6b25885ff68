"""``core.provenance_check``, under the name by which methods know it."""

from expunge.core.provenance_check import require_kind, require_provenance, require_whole

__all__ = ["require_kind", "require_provenance", "require_whole"]
