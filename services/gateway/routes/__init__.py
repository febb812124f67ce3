"""The REST routes, a module a subject."""
