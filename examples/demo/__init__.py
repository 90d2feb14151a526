"""The demonstration: an ordinary chat application, and what telemetry says about it while it runs.

============ ========================================================
file         what
============ ========================================================
``chat``     the application; knows nothing of telemetry
``calls``    spans to what the screen wants to know
``screen``   rows, summary, metrics, picture
``__main__`` joins them: server, SDK, instrumentation
============ ========================================================
"""
