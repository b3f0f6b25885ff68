"""What forgets: language models, learners, guarded systems."""
