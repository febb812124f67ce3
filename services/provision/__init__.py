"""Provisioning: the topics and the bucket that the services need."""
