"""Other stream programs that keep sales tables in Redis, measured like the aggregator."""
