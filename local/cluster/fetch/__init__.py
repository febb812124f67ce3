"""Fetch and build the cluster's programs, once, into the cache."""

from local.cluster.fetch.programs import fetch

__all__ = ["fetch"]
