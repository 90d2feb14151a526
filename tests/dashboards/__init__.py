"""The boards and rules: as Grafana's linter would read them, by name, and with data in real servers."""
