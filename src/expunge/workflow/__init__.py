"""The public verbs, and the roads that train and then evaluate. Importing this loads no torch."""
