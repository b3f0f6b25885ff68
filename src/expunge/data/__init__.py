"""Stores, collation and corpora."""
