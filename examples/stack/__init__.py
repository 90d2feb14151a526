"""The stack: an application whose cache breaks half-way, and real servers that notice.

============ ========================================================
file         what
============ ========================================================
``servers``  Prometheus and Alertmanager, started and stopped
``workload`` the application; knows nothing of telemetry
``watching`` what Prometheus and Alertmanager say of it by now
``screen``   shows that, live or in lines
``__main__`` joins them
============ ========================================================

The same with containers is ``compose.yaml``.
"""
