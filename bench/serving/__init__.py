"""The way to a recommendation under load: gateway and recommender without engines, next to a FastAPI hello-world."""
