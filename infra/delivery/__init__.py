"""The function that Data Firehose calls for the records of the purchases topic."""
