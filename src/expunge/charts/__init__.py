"""Inline SVG from numbers: pure functions, deterministic bytes, no script."""
