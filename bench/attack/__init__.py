"""Attacks on a stack of its own, each really performed: what happened, and what they cost an honest client."""
