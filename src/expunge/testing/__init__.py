"""Contract checks, toy models and keys, shipped to those who extend the library."""
