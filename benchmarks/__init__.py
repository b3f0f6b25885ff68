"""Scripts that measure. Each prints ratios or tables from one run and says how to run it."""
