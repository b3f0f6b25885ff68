"""Nouns, protocols, policies and their judging. No torch, no scipy."""
