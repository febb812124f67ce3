"""Reads of the live tables in Redis."""
