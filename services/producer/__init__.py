"""The producer: rows of a CSV file become validated purchases in Kafka."""
