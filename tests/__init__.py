"""The tests. `tests.support` holds their helpers."""

import pytest

# Before any of them is imported: a failed assertion in a helper shows its values as one in a test does.
pytest.register_assert_rewrite("tests.support")
