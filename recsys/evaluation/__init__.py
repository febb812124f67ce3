"""Offline evaluation: how good recommendations are, measured on purchases no model has seen. NumPy and Arrow, no Spark."""
