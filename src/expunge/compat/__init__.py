"""Peers' quirks as named variants of our pieces, for matching their numbers. Nothing else in the library uses them."""
