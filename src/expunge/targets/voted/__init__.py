"""A model of parts that is published through nothing but noisy votes."""
