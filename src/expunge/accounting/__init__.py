"""What (epsilon, delta) a mechanism has, by audited accountants."""
