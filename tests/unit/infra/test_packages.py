"""What is packed for AWS."""

from pathlib import Path

import pytest

from infra.packages import NotPackaged, copy_function, require_function


def test_a_function_that_is_not_packed_is_refused_with_the_command_that_packs_it(tmp_path: Path) -> None:
    with pytest.raises(NotPackaged, match="make aws-package"):
        require_function(tmp_path)
    assert require_function(copy_function(tmp_path / "function")) == tmp_path / "function"
