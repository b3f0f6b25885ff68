"""Trees that forget: drawing, growing, deleting, predicting and keeping them, all trees of a forest at once."""
