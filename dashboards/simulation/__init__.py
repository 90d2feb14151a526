"""Simulated traffic on which alert rules are proved, on a real Prometheus: see ``README.md``."""
