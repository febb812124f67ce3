"""What an installation costs a month, by events per second. Pure. Every price is an assumption to be checked."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).resolve().parent.parent / "docs" / "aws-costs.md"
RATES = (0, 50, 5_000, 100_000)
HOURS = 730
_GB = 1e9

# US dollars, list prices of US East (N. Virginia), from memory in November 2026.
PRICES: Mapping[str, tuple[float, str]] = {
    "broker": (0.204, "hour of a kafka.m7g.large"),
    "broker storage": (0.10, "GB-month on a broker"),
    "private link": (0.0225, "hour of a cluster's connectivity to other VPCs, which Firehose needs"),
    "serverless cluster": (0.75, "hour of an MSK Serverless cluster"),
    "serverless partition": (0.0015, "hour of a partition"),
    "serverless in": (0.10, "GB written"),
    "serverless out": (0.05, "GB read"),
    "serverless storage": (0.10, "GB-month"),
    "firehose": (0.055, "GB that Firehose reads from MSK"),
    "function call": (0.20e-6, "call of the function"),
    "function": (0.0000133334, "GB-second of the function on ARM"),
    "s3": (0.023, "GB-month in S3"),
    "s3 put": (0.005e-3, "PUT request"),
    "kubernetes": (0.10, "hour of an EKS cluster"),
    "node": (0.1008, "hour of an m7i.large"),
    "node storage": (0.08, "GB-month of a node's volume"),
    "endpoint": (0.01, "hour of an interface endpoint in a zone"),
    "emr vcpu": (0.052624, "vCPU-hour on EMR Serverless"),
    "emr memory": (0.0057785, "GB-hour on EMR Serverless"),
    "valkey large": (0.1752, "hour of a cache.r7g.large with Valkey, 13 GiB"),
    "valkey gib": (0.01345, "hour of a GiB in larger nodes of the same family"),
    "zone transfer": (0.01, "GB between zones, each way"),
    "alarm": (0.10, "month of an alarm"),
    "logs": (0.50, "GB of logs"),
}

# Measured: docs/performance.md. A record is 270 bytes of JSON in the demo's data.
RECORD_BYTES, KAFKA_BYTES, ARCHIVE_BYTES = 270, 37, 38
VALKEY_BYTES = 455 / 4  # an order's entry, at four lines an order
FUNCTION_SECONDS = 13e-6 * 4  # measured on a whole core; 512 MB have about a quarter of one
AGGREGATOR_CORES, RECOMMENDER_CORES = 25e-6, 14e-6
JOB_SECONDS = 2 * 320 / 2_390_915  # vCPU-seconds a line: the run of "The whole shop" on two cores
PARTITIONS, READERS = 20, 4  # aggregator, two recommenders, Firehose


@dataclass(frozen=True, slots=True)
class Line:
    """A row of the table: dollars a month at a rate held day and night."""

    name: str
    cost: Callable[[float], float]


def price(name: str) -> float:
    """Dollars for one unit."""
    return PRICES[name][0]


def events(rate: float) -> float:
    """Events of a month."""
    return rate * HOURS * 3600


def kafka(rate: float) -> float:
    """Three brokers with seven days of records each, and at least 100 GB."""
    stored = max(100.0, 1.2 * rate * 7 * 86_400 * KAFKA_BYTES / _GB)
    return 3 * (HOURS * price("broker") + stored * price("broker storage"))


def kafka_serverless(rate: float) -> float:
    """The alternative: MSK Serverless."""
    gb = events(rate) * KAFKA_BYTES / _GB
    fixed = HOURS * (price("serverless cluster") + PARTITIONS * price("serverless partition"))
    stored = rate * 7 * 86_400 * KAFKA_BYTES / _GB * price("serverless storage")
    return fixed + gb * (price("serverless in") + READERS * price("serverless out")) + stored


def firehose(rate: float) -> float:
    """Firehose, its function, and the connection to MSK."""
    gb = events(rate) * RECORD_BYTES / _GB
    calls = max(gb * 1000, min(1.0, rate) * HOURS * 60)  # a megabyte or a minute
    computing = events(rate) * FUNCTION_SECONDS * 0.5 * price("function")
    return HOURS * price("private link") + gb * price("firehose") + calls * price("function call") + computing


def archiver(rate: float) -> float:
    """The alternative: the archiver in a pod, by its share of a node."""
    return (0.02 + 4e-6 * rate) * HOURS * price("node") / 2


def bucket(rate: float) -> float:
    """The archive of one month, and the writing of its objects."""
    objects = max(events(rate) * RECORD_BYTES / 5e6, min(1.0, rate) * HOURS * 60)
    return events(rate) * ARCHIVE_BYTES / _GB * price("s3") + objects * price("s3 put")


def kubernetes(rate: float) -> float:
    """EKS with at least three nodes of two cores, half of them used."""
    cores = rate * (AGGREGATOR_CORES + 2 * RECOMMENDER_CORES) + 1
    nodes = max(3, -(-cores // 1))
    return HOURS * (price("kubernetes") + nodes * price("node")) + nodes * 50 * price("node storage")


def valkey(rate: float) -> float:
    """Three shards with a replica each, as large as the orders of one month need; every further month adds as much."""
    gib = events(rate) * VALKEY_BYTES / 2**30 / 0.75  # a quarter is reserved
    return HOURS * 2 * max(3 * price("valkey large"), gib * price("valkey gib"))


def job(rate: float) -> float:
    """A run each day over the archive so far; the mean of the first month."""
    vcpu_hours = 30 * events(rate) / 2 * JOB_SECONDS / 3600
    return vcpu_hours * (price("emr vcpu") + 4 * price("emr memory"))


def network(rate: float) -> float:
    """Seven endpoints in two zones; two thirds of what is written and read crosses zones."""
    gb = events(rate) * KAFKA_BYTES / _GB * READERS * 2 / 3
    return HOURS * 14 * price("endpoint") + gb * 2 * price("zone transfer")


def watching(_rate: float) -> float:
    """Alarms, and five gigabytes of logs."""
    return 24 * price("alarm") + 5 * price("logs")


LINES = (
    Line("MSK, provisioned", kafka),
    Line("Data Firehose and its function", firehose),
    Line("S3, archive of one month", bucket),
    Line("EKS and nodes", kubernetes),
    Line("ElastiCache, orders of one month", valkey),
    Line("EMR Serverless, one run a day", job),
    Line("endpoints, traffic between zones", network),
    Line("alarms, logs", watching),
)
ALTERNATIVES = (
    Line("MSK Serverless instead of provisioned", kafka_serverless),
    Line("archiver instead of Firehose", archiver),
)


def page() -> str:
    """The page of costs."""
    return "\n".join([_INTRO, *_table(), "", *_prices()]) + "\n"


def _table() -> Iterator[str]:
    yield "| US dollars a month | " + " | ".join(["idle", *(f"{rate:,} events/s" for rate in RATES[1:])]) + " |"
    yield "|---|" + "---:|" * len(RATES)
    for line in LINES:
        yield _row(line.name, line.cost)
    yield _row("**sum**", lambda rate: sum(line.cost(rate) for line in LINES))
    for line in ALTERNATIVES:
        yield _row(line.name, line.cost)


def _row(name: str, cost: Callable[[float], float]) -> str:
    return f"| {name} | " + " | ".join(f"{cost(rate):,.0f}" for rate in RATES) + " |"


def _prices() -> Iterator[str]:
    yield "| assumed price, US dollars | for one |"
    yield "|---:|---|"
    for amount, unit in PRICES.values():
        yield f"| {amount:.7f}".rstrip("0").rstrip(".") + f" | {unit} |"


_INTRO = """\
# Costs

Generated from `infra/costs.py` by `python -m infra costs`. **Every price is an assumption**: list prices of US East
(N. Virginia) from memory, in November 2026, without taxes, free tiers and discounts. No price was looked up; check them
before you decide anything. The amounts of data are measured ([performance.md](performance.md)), and a rate is held day
and night: a shop's peak is not its mean.

What to read from it, whatever the exact prices:

- An idle installation costs what runs: brokers, nodes, Valkey, endpoints. Firehose, its function, EMR and S3 cost
  nothing or nearly nothing. `cdk destroy` of all but the bucket ends that ([aws.md](aws.md#destroy)).
- Firehose is taken to bill records as they are, seven times their size in Kafka. From some thousand events/s on, the
  archiver does the same for a small part of the money ([ADR 93](adr/0093-msk-and-firehose.md)).
- Live tables keep an entry for every order, for ever, in memory. At thousands of events/s held day and night that is
  the largest item, and each month adds as much again.
- The batch job reads the whole archive each day, so each month costs more than the one before.
"""
