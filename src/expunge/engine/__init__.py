"""Views, training loop, fine-tune recipe, one-pass scorer, generation and controls."""
