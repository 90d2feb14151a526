"""Labelled sequences of calls: what each should say about the prompt cache, and the runner that makes them."""
