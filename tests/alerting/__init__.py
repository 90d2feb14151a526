"""Traffic in a few words, and what the shipped rules must and must not say of it, by Prometheus' own promtool."""
