"""From what a request names to the examples that it touches."""
