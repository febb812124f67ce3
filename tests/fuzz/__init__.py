"""Fuzzing with mutated messages: every path of the system must reach the same verdict on each."""
