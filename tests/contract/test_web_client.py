"""The page's types are those of the gateway's OpenAPI."""

import os
import subprocess
import sys
from pathlib import Path

WEB = Path(__file__).parents[2] / "web"


def test_the_pages_types_follow_the_gateway() -> None:
    environment = {**os.environ, "PYTHON": sys.executable}
    done = subprocess.run(
        [WEB / "api.sh", "--check"], env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, f"run `npm run api` in web/\n{done.stderr}"
