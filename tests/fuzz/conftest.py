"""The profile of the long form: `pytest tests/fuzz/test_openapi.py --hypothesis-profile=fuzz`."""

from hypothesis import settings

settings.register_profile("fuzz", max_examples=20_000, deadline=None)
