"""Offline evaluation: recommendations measured on purchases that no model has seen. NumPy and Arrow, no Spark."""
