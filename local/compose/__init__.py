"""compose.yaml: the keys that it needs, and a test that brings it up."""
