"""Pure tensor functions: answer log-probabilities, divergences, ragged sums."""
