"""Keys, signed statements, certificates and their verification. Needs the base install only."""
