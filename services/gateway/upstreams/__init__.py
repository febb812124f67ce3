"""Clients and pollers of the gateway's upstreams other than Redis: recommender, Kafka and S3."""
