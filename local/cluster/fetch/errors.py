"""Why a program could not be fetched or built."""


class FetchError(Exception):
    """A download or a build failed; the message says which and why."""
