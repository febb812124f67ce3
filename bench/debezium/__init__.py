"""A real PostgreSQL, Debezium's connector and Kafka: what counts against what the table holds."""
