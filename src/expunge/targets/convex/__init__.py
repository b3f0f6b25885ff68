"""Linear models with a convex loss, whose records leave by a Newton step under a stated (ε, δ)."""
