"""The aggregator: applies purchases to the live tables in Redis exactly once."""
