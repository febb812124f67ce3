"""Webhooks of shop systems: signatures, and their orders and refunds as events of topic `purchases`."""
