"""Command line of the model registry: list, show, compare, activate, roll back. Start with `python -m services.models`."""
