"""The stack under a steady load for a long time: does anything grow, stall or get lost? See docs/reliability.md."""
