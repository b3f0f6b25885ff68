"""Data that is never learned but retrieved, and deleted for good with proof."""
