"""The code of one image, compiled: `lay_out.py IMAGE OUT`, run from a checkout with generated stubs.

An image has the modules that run in it and what they import, nothing else.
"""

import compileall
import py_compile
import shutil
import sys
from pathlib import Path

_COMMON = ("pyproject.toml", "services/__init__.py", "services/common")
_RANKING = ("recsys", "proto")

CONTENTS: dict[str, tuple[str, ...]] = {
    "producer": ("services/producer", "services/deadletters", "services/models"),
    "archiver": ("services/archiver", "services/provision"),
    "aggregator": ("services/aggregator",),
    "recommender": ("services/recommender", "services/privacy", *_RANKING),
    "gateway": ("services/gateway", "proto"),
    # A file to evaluate on is read by the producer's rules.
    "spark": ("spark", "recsys", "services/producer"),
}


def lay_out(image: str, out: Path) -> None:
    """Copy the image's code below `out` and compile it. `.pyc` files carry a hash instead of a time."""
    for name in (*_COMMON, *CONTENTS[image]):
        source, target = Path(name), out / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(source, target)
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    if not compileall.compile_dir(out, quiet=1, stripdir=out, prependdir="/app", invalidation_mode=mode):
        raise SystemExit("compilation failed: see above")


if __name__ == "__main__":
    lay_out(sys.argv[1], Path(sys.argv[2]))
