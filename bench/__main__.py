"""`python -m bench`: the benchmarks that need no file, one after another; `make bench` calls it.

Each is a command with its own options: ingest, aggregate, following, scoring. If a gateway answers on the default port
(`make up`), recommend and freshness run too. Others need a file or a restart: `bench.train` times the batch job,
`bench.training` its ALS alone, next to MLlib and implicit; `bench.catchup` restarts a recommender that then lags;
`bench.peers` downloads other stream programs to compare with.
"""

import sys

from bench import aggregate, following, freshness, ingest, recommend, scoring
from local.http import NoAnswer, get_json
from local.settings import StackSettings

ROWS = ["--rows", "300000"]


def main() -> int:
    """Run them all; returns the exit status of the worst."""
    status = max(ingest.main(ROWS), aggregate.main(ROWS), following.main(ROWS))
    sys.argv[1:] = []
    scoring.main()
    page = StackSettings().page
    try:
        get_json(f"{page}/readyz")
    except NoAnswer:
        print(f"\nno gateway answers at {page}: after `make up`, `python -m bench.recommend` measures recommendations")
        return status
    return max(status, recommend.main(["--url", page]), freshness.main([]))


if __name__ == "__main__":
    sys.exit(main())
