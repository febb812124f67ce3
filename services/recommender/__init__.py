"""The recommender: a gRPC service that answers top-k from factors in memory."""
