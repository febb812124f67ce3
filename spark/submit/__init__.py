"""Starts the batch job elsewhere, and follows it to its end: `python -m spark.submit --help`."""
