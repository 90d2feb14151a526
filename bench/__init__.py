"""What the instrumentation costs, measured on this machine."""
