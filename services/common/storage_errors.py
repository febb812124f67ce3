"""Errors of object storage, apart from its client: a library that reads objects must not import boto3."""


class AlreadyExists(Exception):
    """A conditional write lost: the key exists (`put_new`) or has changed (`replace`)."""


class NoSuchObject(Exception):
    """There is nothing under the key."""
