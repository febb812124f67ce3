"""Every Prometheus metric of Tillstream, with a comment each. A service uses those of its own section."""

from prometheus_client import Counter, Gauge, Histogram

# --- every service ----------------------------------------------------------------------------------------------
# Always 1; its labels say which version and commit run.
BUILD_INFO = Gauge("tillstream_build_info", "Version and commit that run", ["version", "commit"])

# --- every service with an event loop ---------------------------------------------------------------------------
# How late a sleep of 50 ms wakes: for so long nothing else was answered.
LOOP_STALL_SECONDS = Histogram(
    "tillstream_loop_stall_seconds",
    "How late the event loop woke a sleeper",
    buckets=(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
)
# The longest of these in the last minute.
LOOP_LONGEST_STALL_SECONDS = Gauge("tillstream_loop_longest_stall_seconds", "Longest stall in the last minute")

# --- aggregator -------------------------------------------------------------------------------------------------
# Accepted lines applied to the live tables.
AGGREGATOR_LINES = Counter("tillstream_aggregator_lines", "Accepted lines applied to the live tables")
# Lines skipped because the same event_id was applied before.
AGGREGATOR_REPEATS = Counter("tillstream_aggregator_repeats", "Lines skipped as repeats by event_id")
# Records sent to the dead letters, by reason code.
AGGREGATOR_DEAD_LETTERS = Counter("tillstream_aggregator_dead_letters", "Records sent to the dead letters", ["reason"])
# Times a batch did not fit the mark in Redis (a zombie, a restored snapshot) and reading went back to the marks.
AGGREGATOR_MISMATCHES = Counter("tillstream_aggregator_mark_mismatches", "Batches refused by a shard's mark")
# Records that the figures lack, since nobody had them any more and that was accepted.
AGGREGATOR_MISSING = Counter("tillstream_aggregator_missing_records", "Records that the figures lack for good")
# Records fetched although they were applied already: after a crash or a rebalance, never after a clean stop.
AGGREGATOR_REFETCHED = Counter("tillstream_aggregator_refetched_records", "Records fetched although applied already")
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

# Snapshots of the live figures stored for the batch job, and turns at which that failed (tried again at the next).
AGGREGATOR_SNAPSHOTS = Counter("tillstream_aggregator_snapshots", "Snapshots of the live figures stored")
AGGREGATOR_SNAPSHOT_FAILURES = Counter("tillstream_aggregator_snapshot_failures", "Snapshots that failed")
# Time to read the figures of one snapshot, in one transaction a shard: Redis serves nobody else meanwhile.
AGGREGATOR_SNAPSHOT_SECONDS = Gauge("tillstream_aggregator_snapshot_read_seconds", "Time to read the newest snapshot")

# --- aggregator and producer ------------------------------------------------------------------------------------
# 1 while too many records of a source (a partition, a file) are refused; the caps are settings.
DEAD_LETTERS_ALARM = Gauge("tillstream_dead_letters_alarm", "Whether too many records are refused", ["source"])
# Records of a source refused in a row, up to the newest.
DEAD_LETTERS_RUN = Gauge("tillstream_dead_letters_run", "Records refused in a row", ["source"])
# Share of refused records among the newest of a source.
DEAD_LETTERS_RATIO = Gauge("tillstream_dead_letters_ratio", "Share of refused among the newest records", ["source"])

# --- recommender ------------------------------------------------------------------------------------------------
# Time from a decoded request to its answer, by gRPC method and status code; the single methods take under 1 ms.
RECOMMENDER_REQUEST_SECONDS = Histogram(
    "tillstream_recommender_request_seconds",
    "Time to answer one gRPC request",
    ["method", "code"],
    buckets=(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1),
)
# Answers by the strategy that gave them: a growing share of `popular` means customers the model does not know.
RECOMMENDER_ANSWERS = Counter("tillstream_recommender_answers", "Answers by strategy", ["strategy"])
# 1 for each version that answers, by variant (main, or on trial); no series before the first model.
RECOMMENDER_MODEL = Gauge("tillstream_recommender_model_info", "The versions that answer", ["version", "variant"])
# When the served model was trained: time() minus this is its age.
RECOMMENDER_MODEL_CREATED = Gauge(
    "tillstream_recommender_model_created_timestamp_seconds", "Creation of the served model, Unix time"
)
# Models refused, by the kind of fault (recsys/model_format.py); the wording is in /readyz and GetModel.
RECOMMENDER_MODEL_REFUSALS = Counter("tillstream_recommender_model_refusals", "Models refused", ["fault"])
# 1 while the version that the pointer names is refused and an older one, or none, answers.
RECOMMENDER_MODEL_REFUSED = Gauge("tillstream_recommender_model_refused", "Whether the newest version is refused")
# Time to read, verify and build a model.
RECOMMENDER_LOAD_SECONDS = Histogram(
    "tillstream_recommender_load_seconds", "Time to load a model", buckets=(0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
)
# Polls that could not reach the store; the served model stays.
RECOMMENDER_POLL_FAILURES = Counter("tillstream_recommender_poll_failures", "Polls of the pointer that failed")
# Answers recorded in topic recommendations: the share of a setting.
RECOMMENDER_RECORDS = Counter("tillstream_recommender_records", "Answers recorded")
# Answers that were to be recorded and were not, because Kafka was away or too slow: comparing variants lacks them.
RECOMMENDER_RECORDS_DROPPED = Counter("tillstream_recommender_records_dropped", "Answers not recorded")

# Records of the purchases topic that a model's state was moved on by, or not, by what became of them: applied, repeat,
# invalid, product (a product new to the model after all spare rows were taken: alert on a growing number), error.
RECOMMENDER_STREAM_RECORDS = Counter("tillstream_recommender_stream_records", "Records followed", ["outcome"])
# Records that left Kafka's log before they were followed: that part of the stream is known with the next model.
RECOMMENDER_STREAM_LOST = Counter("tillstream_recommender_stream_lost_records", "Records gone before they were read")
# Partitions that turned out to be of another topic than before, and were read from their beginning.
RECOMMENDER_STREAM_RESETS = Counter("tillstream_recommender_stream_resets", "Partitions begun anew")
# Times that following broke off, because Kafka was away or something failed; it is tried again until it works.
RECOMMENDER_STREAM_FAILURES = Counter("tillstream_recommender_stream_failures", "Times that following broke off")
# Records not yet followed, by model version (while a new model catches up there are two).
RECOMMENDER_STREAM_LAG = Gauge("tillstream_recommender_stream_lag_records", "Records not yet followed", ["version"])
# How old what is known of the stream is, by model version: alert on this, not on the lag. NaN before first contact.
RECOMMENDER_STREAM_AGE = Gauge("tillstream_recommender_stream_age_seconds", "Age of the stream's state", ["version"])
# What is remembered of the stream since the model's cut-off, by kind: customers, lines, neighbours, fresh products.
RECOMMENDER_STATE = Gauge("tillstream_recommender_state_entries", "Entries of the live state", ["version", "kind"])
# Customers forgotten since the model's cut-off because there were more than the bound; the model still knows them.
RECOMMENDER_STATE_FORGOTTEN = Gauge("tillstream_recommender_state_forgotten", "Customers forgotten", ["version"])

# --- gateway ----------------------------------------------------------------------------------------------------
# Time to the first byte of a response, by route template; its count is the number of requests.
GATEWAY_REQUEST_SECONDS = Histogram(
    "tillstream_gateway_request_seconds",
    "Time to the first byte of a response",
    ["method", "route", "status"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
)
# Open server-sent-event connections.
GATEWAY_STREAM_CLIENTS = Gauge("tillstream_gateway_stream_clients", "Open server-sent-event connections")
# Server-sent-event clients that the gateway let go, by reason.
GATEWAY_STREAM_DROPPED = Counter("tillstream_gateway_stream_dropped", "Stream clients let go", ["reason"])
# Recommendation answers, by the strategy that gave them; popular_fallback means the recommender did not answer.
GATEWAY_RECOMMENDATIONS = Counter("tillstream_gateway_recommendations", "Recommendation answers", ["strategy"])
# Events sent in over HTTP, by verdict.
GATEWAY_INTAKE = Counter("tillstream_gateway_intake_events", "Events sent in over HTTP", ["verdict"])
# Age of the figures that summary and stream show.
GATEWAY_SNAPSHOT_AGE_SECONDS = Gauge("tillstream_gateway_snapshot_age_seconds", "Age of the figures being shown")
# Live less batch, as the batch job last found it; NaN before the first comparison. Alert on any other value than 0.
RECONCILIATION_DRIFT_CENTS = Gauge("tillstream_reconciliation_drift_cents", "Revenue, live less batch, in cents")
# The same in accepted lines; NaN where lines could not be compared (basis hours).
RECONCILIATION_DRIFT_EVENTS = Gauge("tillstream_reconciliation_drift_events", "Accepted lines, live less batch")
# Figures that differ: amounts that cancel each other out leave no drift, but two buckets that differ.
RECONCILIATION_DIFFERENCES = Gauge("tillstream_reconciliation_differences", "Figures that differ, live and batch")
# Time since the books were compared: grows where the batch job, or the live figures' snapshots, have stopped.
RECONCILIATION_AGE_SECONDS = Gauge("tillstream_reconciliation_age_seconds", "Time since the books were compared")

# --- producer ---------------------------------------------------------------------------------------------------
# Rows acknowledged by the broker as purchases.
PRODUCER_ROWS = Counter("tillstream_producer_rows", "Rows acknowledged by the broker as purchases")
# Rows acknowledged by the broker as dead letters, by reason code.
PRODUCER_DEAD_LETTERS = Counter("tillstream_producer_dead_letters", "Rows sent to the dead letters", ["reason"])

# --- archiver ---------------------------------------------------------------------------------------------------
# Records that this archiver found or wrote in the archive.
ARCHIVER_RECORDS = Counter("tillstream_archiver_records", "Records archived")
# Objects that this archiver wrote, or found written by another from the same record.
ARCHIVER_OBJECTS = Counter("tillstream_archiver_objects", "Objects archived")
# Compressed bytes of those objects.
ARCHIVER_BYTES = Counter("tillstream_archiver_bytes", "Compressed bytes archived")
# Calls to S3 that failed and were tried again.
ARCHIVER_S3_FAILURES = Counter("tillstream_archiver_s3_failures", "Calls to S3 that failed and were tried again")
# Records that left the log (retention) before they were archived: nothing brings them back, so alert on any.
ARCHIVER_LOST = Counter("tillstream_archiver_lost_records", "Records that left the log before they were archived")
# Records of the log that are not in S3 yet, by partition.
ARCHIVER_LAG = Gauge("tillstream_archiver_lag_records", "Records not yet archived", ["partition"])
# Age of the oldest record that was fetched and is not in S3 yet, by partition: alert on time, not on counts.
ARCHIVER_OPEN_SECONDS = Gauge("tillstream_archiver_open_seconds", "Age of the oldest record not in S3", ["partition"])
