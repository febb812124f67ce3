"""The response schemas, one module per subject."""
