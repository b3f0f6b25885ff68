"""Keys, signed statements, certificates, the log, and how all of them are verified. Needs the base install only."""
