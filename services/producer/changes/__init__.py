"""Changes of a table of order lines, as Debezium records them, as events of topic `purchases`."""
