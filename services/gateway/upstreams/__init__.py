"""What the gateway asks or polls beside Redis: recommender, Kafka, the bucket; and their outages."""
