"""`python -m bench`: the benchmarks that need no data of yours, one after another; `make bench` calls it.

Each is a command of its own with its own options: ingest, aggregate, following, recommend, scoring; `bench.train` times
the batch job on a file of yours. Recommendations, and how soon a purchase is in them (`bench.freshness`), are measured
where a gateway answers on the default port (`make up`); `bench.catchup` restarts a recommender with a stream behind.
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
