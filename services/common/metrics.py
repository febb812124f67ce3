"""Every Prometheus metric of Tillstream, with a comment each. A service uses those of its own section."""

from prometheus_client import Counter, Gauge, Histogram

# --- aggregator -------------------------------------------------------------------------------------------------
# Accepted lines applied to the live tables.
AGGREGATOR_LINES = Counter("tillstream_aggregator_lines", "Accepted lines applied to the live tables")
# Lines skipped because the same event_id was applied before.
AGGREGATOR_REPEATS = Counter("tillstream_aggregator_repeats", "Lines skipped as repeats by event_id")
# Records sent to the dead letters, by reason code.
AGGREGATOR_DEAD_LETTERS = Counter("tillstream_aggregator_dead_letters", "Records sent to the dead letters", ["reason"])
# Times a batch did not fit the mark in Redis (a zombie, a restored snapshot) and reading went back to the marks.
AGGREGATOR_MISMATCHES = Counter("tillstream_aggregator_mark_mismatches", "Batches refused by a shard's mark")
# Time of one server-side script call: Redis serves nobody else meanwhile.
AGGREGATOR_SCRIPT_SECONDS = Histogram(
    "tillstream_aggregator_script_seconds",
    "Time of one call of the apply script",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1),
)
# Time from the broker's timestamp of a chunk's last record to its figures being readable.
AGGREGATOR_FRESHNESS_SECONDS = Gauge("tillstream_aggregator_freshness_seconds", "Arrival to visible, newest chunk")
# Records not yet applied, by topic and partition, as of the last fetch.
AGGREGATOR_LAG = Gauge("tillstream_aggregator_lag_records", "Records not yet applied", ["topic", "partition"])
