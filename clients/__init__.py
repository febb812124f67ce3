"""Typed clients of the REST API, generated from its OpenAPI document."""
