"""How good recommendations are, measured on purchases no model has seen. Start with `python -m spark.evaluate`."""
