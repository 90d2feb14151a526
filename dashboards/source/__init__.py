"""The Grafana dashboards, as a program: ``python -m source`` in the folder ``dashboards`` writes ``generated/*.json``.

``build``: the boards as JSON, and where they are kept.
``overview``, ``cache_regressions``: one board each, as a table of contents.
``cache``, ``losses``, ``coverage``, ``speed``, ``health``, ``money``, ``conversations``: panels by subject.
``deployments``: the marks on their time axis.
``queries``: what the panels ask.
``panels``, ``tables``, ``colors``, ``links``, ``variables``, ``layout``: how they look and where they stand.
"""
