"""Suites, references, statistics, and what a reader sees of them."""
