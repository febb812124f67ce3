"""Soak test: the stack under steady load for a long time; it must not grow, stall or lose data. docs/reliability.md."""
