"""Command line of the model registry: `python -m services.models list`, show, compare, activate, rollback."""
