"""Corpora: generated people, and readers of published ones."""
