"""Every Prometheus metric of Tillstream, with a comment each. A service uses those of its own section."""

from prometheus_client import Counter, Gauge, Histogram

# --- every service ----------------------------------------------------------------------------------------------
# Always 1; its labels say which version and commit run.
BUILD_INFO = Gauge("tillstream_build_info", "Version and commit that run", ["version", "commit"])
# 1 while a check of /readyz is ok: an engine answers, a model is loaded, partitions are assigned. One series per check.
HEALTH_CHECK = Gauge("tillstream_health_check", "Whether a check of /readyz is ok", ["check"])

# --- every service with an event loop ---------------------------------------------------------------------------
# Event-loop lag: how late a sleep of 50 ms wakes. The loop served nothing else meanwhile.
LOOP_STALL_SECONDS = Histogram(
    "tillstream_loop_stall_seconds",
    "How late the event loop woke a sleeper",
    buckets=(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
)
# Longest event-loop lag of the last minute.
LOOP_LONGEST_STALL_SECONDS = Gauge("tillstream_loop_longest_stall_seconds", "Longest stall in the last minute")

# --- recommender and gateway, which follow topic `products` ------------------------------------------------------
# Records of the catalogue by outcome: applied, invalid (breaks the contract and changes nothing) or error.
PRODUCTS_RECORDS = Counter("tillstream_products_records", "Records of the catalogue, by outcome", ["outcome"])
# Products that the catalogue describes.
PRODUCTS_KNOWN = Gauge("tillstream_products_known", "Products of the catalogue")
# Those of them that may not be recommended: out of stock, hidden or deleted.
PRODUCTS_WITHHELD = Gauge("tillstream_products_withheld", "Products that may not be recommended")
# Time from a record's arrival at the broker until it counts in answers: one sample for each fetch. None before the
# start of the topic is read.
PRODUCTS_DELAY_SECONDS = Histogram(
    "tillstream_products_delay_seconds",
    "Arrival of a product's record to its effect",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60),
)
# Failures to follow the catalogue, each retried. Meanwhile products stay as they are known.
PRODUCTS_FOLLOW_FAILURES = Counter("tillstream_products_follow_failures", "Failures to follow the catalogue")

# --- aggregator -------------------------------------------------------------------------------------------------
# Accepted lines applied to the live tables.
AGGREGATOR_LINES = Counter("tillstream_aggregator_lines", "Accepted lines applied to the live tables")
# Lines skipped because their order has the same line already.
AGGREGATOR_REPEATS = Counter("tillstream_aggregator_repeats", "Lines skipped as repeats of their order's lines")
# Records sent to the dead letters, by reason code.
AGGREGATOR_DEAD_LETTERS = Counter("tillstream_aggregator_dead_letters", "Records sent to the dead letters", ["reason"])
# Offset conflicts: a batch did not fit the mark (applied offset) in Redis, because of a zombie or a restored
# snapshot. The aggregator reads again from the marks.
AGGREGATOR_MISMATCHES = Counter("tillstream_aggregator_mark_mismatches", "Offset conflicts")
# Batches decided again because a line of one of their orders came by another partition at the same moment.
AGGREGATOR_ORDER_CONFLICTS = Counter("tillstream_aggregator_order_conflicts", "Batches decided again for an order")
# Lines whose brand, category or product is over its budget and counted under `other`, by table. Alert on it.
AGGREGATOR_OTHER_LINES = Counter("tillstream_aggregator_other_lines", "Lines counted under other", ["table"])
# 1 while Redis may evict keys (maxmemory-policy is not noeviction): figures may become wrong silently. Alert on it.
AGGREGATOR_REDIS_EVICTS = Gauge("tillstream_aggregator_redis_evicts", "Whether Redis may evict keys")
# Records missing from the figures for good: expired before they were archived, where accept_missing_history allows
# it, or expired dead letters, which are not archived.
AGGREGATOR_MISSING = Counter("tillstream_aggregator_missing_records", "Records that the figures lack for good")
# Records fetched although they were applied already: after a crash or a rebalance, never after a clean stop.
AGGREGATOR_REFETCHED = Counter("tillstream_aggregator_refetched_records", "Records fetched although applied already")
# Time of one server-side script call. Redis serves no other client meanwhile.
AGGREGATOR_SCRIPT_SECONDS = Histogram(
    "tillstream_aggregator_script_seconds",
    "Time of one call of the apply script",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1),
)
# Time from the broker's timestamp of a chunk's last record to its figures being readable.
AGGREGATOR_FRESHNESS_SECONDS = Gauge("tillstream_aggregator_freshness_seconds", "Arrival to visible, newest chunk")
# Time from a record's arrival to its figures being readable, as a distribution: one sample for each chunk.
AGGREGATOR_DELAY_SECONDS = Histogram(
    "tillstream_aggregator_delay_seconds",
    "Arrival to visible",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
)
# Records of one fetch of one partition, which are applied together.
AGGREGATOR_BATCH_RECORDS = Histogram(
    "tillstream_aggregator_batch_records",
    "Records of one batch",
    buckets=(1, 3, 10, 30, 100, 300, 1_000, 3_000, 10_000),
)
# Records not yet applied, by topic and partition, as of the last fetch.
AGGREGATOR_LAG = Gauge("tillstream_aggregator_lag_records", "Records not yet applied", ["topic", "partition"])
# Broker time of the newest record of the applied batches, by topic and partition: time() minus this is the age of the
# applied offset. It says nothing of a partition that gets no records.
AGGREGATOR_APPLIED_TIMESTAMP = Gauge(
    "tillstream_aggregator_applied_timestamp_seconds", "Broker time of the applied offset", ["topic", "partition"]
)

# Snapshots of the live figures stored for the batch job.
AGGREGATOR_SNAPSHOTS = Counter("tillstream_aggregator_snapshots", "Snapshots of the live figures stored")
# Snapshots that failed; the next interval tries again.
AGGREGATOR_SNAPSHOT_FAILURES = Counter("tillstream_aggregator_snapshot_failures", "Snapshots that failed")
# Time to read the figures of one snapshot, one transaction per shard. Redis serves no other client meanwhile.
AGGREGATOR_SNAPSHOT_SECONDS = Gauge("tillstream_aggregator_snapshot_read_seconds", "Time to read the newest snapshot")

# --- Redis, as the aggregator reads it --------------------------------------------------------------------------
# Memory that Redis uses, by node (host:port; `redis` for a single server). Every aggregator reports all nodes: take the
# maximum by node.
REDIS_MEMORY_USED = Gauge("tillstream_redis_memory_used_bytes", "Memory that Redis uses", ["node"])
# Redis's maxmemory; 0: no limit.
REDIS_MEMORY_MAX = Gauge("tillstream_redis_memory_max_bytes", "Limit of Redis's memory", ["node"])
# Script calls that Redis has run, by its own count (INFO commandstats) since this aggregator began to look.
REDIS_SCRIPT_CALLS = Counter("tillstream_redis_script_calls", "Script calls by Redis's count", ["node"])
# Time that Redis spent in them, by its own clock: without the network and without waiting in its queue.
REDIS_SCRIPT_SECONDS = Counter("tillstream_redis_script_seconds", "Time of script calls by Redis's clock", ["node"])
# 99th percentile of a script call since Redis started (INFO latencystats); no series where Redis does not measure it.
REDIS_SCRIPT_P99_SECONDS = Gauge("tillstream_redis_script_p99_seconds", "99th percentile of a script call", ["node"])
# Keys that Redis has evicted. Alert on any: figures are wrong.
REDIS_EVICTED = Counter("tillstream_redis_evicted_keys", "Keys that Redis has evicted", ["node"])

# --- aggregator and archiver ------------------------------------------------------------------------------------
# Times that partitions were assigned anew. Each pauses reading; many in a row mean that members come and go.
REBALANCES = Counter("tillstream_rebalances", "Assignments of partitions")

# --- aggregator and producer ------------------------------------------------------------------------------------
# 1 while too many records of a source (a partition, a file) are invalid; the limits are settings.
DEAD_LETTERS_ALARM = Gauge("tillstream_dead_letters_alarm", "Whether too many records are invalid", ["source"])
# Consecutive invalid records of a source, up to the newest.
DEAD_LETTERS_RUN = Gauge("tillstream_dead_letters_run", "Consecutive invalid records", ["source"])
# Ratio of invalid records in the last window of a source.
DEAD_LETTERS_RATIO = Gauge("tillstream_dead_letters_ratio", "Ratio of invalid records in the window", ["source"])

# --- recommender ------------------------------------------------------------------------------------------------
# Time from a decoded request to its response, by gRPC method and status code.
RECOMMENDER_REQUEST_SECONDS = Histogram(
    "tillstream_recommender_request_seconds",
    "Time to answer one gRPC request",
    ["method", "code"],
    buckets=(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1),
)
# Answers by strategy. A growing share of `popular` means more unknown users.
RECOMMENDER_ANSWERS = Counter("tillstream_recommender_answers", "Answers by strategy", ["strategy"])
# Time to score one answer, by strategy. Of customers that are scored together, each gets an equal part.
RECOMMENDER_SCORING_SECONDS = Histogram(
    "tillstream_recommender_scoring_seconds",
    "Time to score one answer",
    ["strategy"],
    buckets=(0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1),
)
# 1 for each serving version, by variant (main, or an A/B variant). No series before the first model.
RECOMMENDER_MODEL = Gauge("tillstream_recommender_model_info", "The versions that answer", ["version", "variant"])
# Creation time of the serving model: time() minus this is its age.
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
# Polls of the pointer that could not reach the object store; the serving model stays.
RECOMMENDER_POLL_FAILURES = Counter("tillstream_recommender_poll_failures", "Polls of the pointer that failed")
# Impressions written to topic recommendations: a sampled share, by a setting.
RECOMMENDER_RECORDS = Counter("tillstream_recommender_records", "Impressions recorded")
# Sampled impressions dropped because Kafka was unavailable or too slow. A comparison of variants lacks them.
RECOMMENDER_RECORDS_DROPPED = Counter("tillstream_recommender_records_dropped", "Impressions dropped")

# Records of the purchases topic by outcome: applied, repeat, invalid, canary, error, or product (a product new to the
# model after all spare rows were taken: alert when it grows).
RECOMMENDER_STREAM_RECORDS = Counter(
    "tillstream_recommender_stream_records", "Records of the stream, by outcome", ["outcome"]
)
# Records that expired in Kafka before they were read. The next model includes them.
RECOMMENDER_STREAM_LOST = Counter("tillstream_recommender_stream_lost_records", "Records gone before they were read")
# Partitions of a recreated topic, read again from the beginning.
RECOMMENDER_STREAM_RESETS = Counter("tillstream_recommender_stream_resets", "Partitions of a recreated topic")
# Times the stream consumer failed and was reopened.
RECOMMENDER_STREAM_FAILURES = Counter("tillstream_recommender_stream_failures", "Interruptions of following")
# Consumer lag in records, by model version. There are two versions while a new model catches up.
RECOMMENDER_STREAM_LAG = Gauge("tillstream_recommender_stream_lag_records", "Consumer lag in records", ["version"])
# Consumer lag in seconds, by model version: alert on this, not on records. NaN before the first contact.
RECOMMENDER_STREAM_AGE = Gauge("tillstream_recommender_stream_age_seconds", "Consumer lag in seconds", ["version"])
# Entries of the streaming state since the model's cut-off, by kind: customers, lines, neighbours, order_pairs, fresh
# products.
RECOMMENDER_STATE = Gauge("tillstream_recommender_state_entries", "Entries of the live state", ["version", "kind"])
# Customers evicted from the streaming state because of its bound. The model still knows them.
RECOMMENDER_STATE_FORGOTTEN = Gauge("tillstream_recommender_state_forgotten", "Customers forgotten", ["version"])

# --- gateway ----------------------------------------------------------------------------------------------------
# Time to the first byte of a response, by route template; its count is the number of requests. Errors and refusals are
# in it; route `none` got no further than the checks of host and body.
GATEWAY_REQUEST_SECONDS = Histogram(
    "tillstream_gateway_request_seconds",
    "Time to the first byte of a response",
    ["method", "route", "status"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
)
# Time of one call to the recommender as the gateway sees it, retries included, by gRPC method and status code. Calls
# that never reached a recommender are in it too.
GATEWAY_RECOMMENDER_CALL_SECONDS = Histogram(
    "tillstream_gateway_recommender_call_seconds",
    "Time of one call to the recommender",
    ["method", "code"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
)
# Open server-sent-event connections.
GATEWAY_STREAM_CLIENTS = Gauge("tillstream_gateway_stream_clients", "Open server-sent-event connections")
# Server-sent-event clients that the gateway disconnected, by reason.
GATEWAY_STREAM_DROPPED = Counter("tillstream_gateway_stream_dropped", "Stream clients disconnected", ["reason"])
# Recommendation answers by strategy; popular_fallback means that the recommender did not answer.
GATEWAY_RECOMMENDATIONS = Counter("tillstream_gateway_recommendations", "Recommendation answers", ["strategy"])
# Requests for recommendations that got 503 because more came than could be answered soon.
GATEWAY_SHED = Counter("tillstream_gateway_shed", "Requests for recommendations refused under load")
# Events posted over HTTP, by verdict.
GATEWAY_INTAKE = Counter("tillstream_gateway_intake_events", "Events posted over HTTP", ["verdict"])
# Products written over HTTP, by verdict.
GATEWAY_PRODUCTS = Counter("tillstream_gateway_products", "Products written over HTTP", ["verdict"])
# Deliveries of webhooks, by shop system and result: accepted, ignored, refused, unconfirmed.
GATEWAY_HOOKS = Counter("tillstream_gateway_hook_deliveries", "Deliveries of webhooks", ["system", "result"])
# Unix time of an API key's last use, by its name. A key without a value was not used since the start.
GATEWAY_KEY_USED = Gauge("tillstream_gateway_key_used_timestamp_seconds", "Last use of an API key", ["key"])
# Requests with a wrong key or token.
GATEWAY_WRONG_KEYS = Counter("tillstream_gateway_wrong_keys", "Requests with a wrong key or token")
# Attempts to log in, by outcome: ok, expired, denied, refused, no_role, away, too_many.
GATEWAY_LOGINS = Counter("tillstream_gateway_logins", "Attempts to log in", ["outcome"])
# Requests that got 429 because their key, or their address without one, made too many in a minute.
GATEWAY_RATE_LIMITED = Counter("tillstream_gateway_rate_limited", "Requests beyond the rate of their client", ["by"])
# 1 while the replicas sum their counts of requests in Redis, 0 while each counts for itself. NaN where they are not
# asked to share.
GATEWAY_RATES_SHARED = Gauge("tillstream_gateway_rates_shared", "Whether replicas know each other's counts")
# Canaries sent. None where TILLSTREAM_CANARY_SECONDS is 0.
GATEWAY_CANARIES = Counter("tillstream_gateway_canaries", "Canaries sent")
# Canaries that did not show within 60 s, by the stage that they did not reach: log, figures or recommender.
GATEWAY_CANARIES_LOST = Counter("tillstream_gateway_canaries_lost", "Canaries that did not show", ["stage"])
# Time from sending a canary until it shows, by stage: acknowledged by the brokers, in the figures that pages show, read
# by the recommender that was asked last. The gateway looks once a second.
GATEWAY_CANARY_SECONDS = Histogram(
    "tillstream_gateway_canary_seconds",
    "Time until a canary shows",
    ["stage"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 1.5, 2, 3, 5, 10, 30, 60),
)
# Age of the figures in summary and stream.
GATEWAY_SNAPSHOT_AGE_SECONDS = Gauge("tillstream_gateway_snapshot_age_seconds", "Age of the figures being shown")
# Records of the purchases topic that the figures lack, by partition: Kafka's end less Redis's applied offset. It is
# measured here, so it also grows while no aggregator runs, and while Redis is away.
GATEWAY_LAG_RECORDS = Gauge("tillstream_gateway_lag_records", "Records that the figures lack", ["partition"])
# How long the oldest of them has been in the log; counted from the gateway's start at the earliest. Alert on this.
GATEWAY_LAG_SECONDS = Gauge("tillstream_gateway_lag_seconds", "Age of the oldest record not counted", ["partition"])
# How long a partition's applied offset has not moved although records wait.
GATEWAY_STALLED_SECONDS = Gauge("tillstream_gateway_stalled_seconds", "Time without progress", ["partition"])
# Reconciliation drift of revenue: live minus batch, in cents. NaN before the first comparison. Alert unless 0.
RECONCILIATION_DRIFT_CENTS = Gauge("tillstream_reconciliation_drift_cents", "Revenue, live less batch, in cents")
# Reconciliation drift in accepted lines: live minus batch. NaN where lines could not be compared (basis hours).
RECONCILIATION_DRIFT_EVENTS = Gauge("tillstream_reconciliation_drift_events", "Accepted lines, live less batch")
# Number of figures that differ. Two errors that cancel out leave no drift, but two differing buckets.
RECONCILIATION_DIFFERENCES = Gauge("tillstream_reconciliation_differences", "Figures that differ, live and batch")
# Time since the last reconciliation. It grows when the batch job or the snapshots of the live figures stop.
RECONCILIATION_AGE_SECONDS = Gauge("tillstream_reconciliation_age_seconds", "Time since the last reconciliation")

# --- batch job, as the gateway reads its report in S3 -----------------------------------------------------------
# End of the newest run that has left a report. A run that was killed leaves none: alert on the age.
JOB_FINISHED = Gauge("tillstream_job_finished_timestamp_seconds", "End of the newest run, Unix time")
# 1 for the outcome of the newest run: published, refused, no_model or failed. `no_model`: nothing was to be trained, or
# a later run was faster.
JOB_OUTCOME = Gauge("tillstream_job_outcome", "How the newest run ended", ["outcome"])
# Duration of each completed step of the newest run.
JOB_STEP_SECONDS = Gauge("tillstream_job_step_seconds", "Duration of a step", ["step"])
# Archived records of the newest run by outcome: accepted, repeat, rejected.
JOB_RECORDS = Gauge("tillstream_job_records", "Archived records", ["outcome"])
# 1 for the newest run's gate decision: the verdict on its model, and the configuration that won.
JOB_GATE = Gauge("tillstream_job_gate_info", "Decision of the gate", ["verdict", "winner"])

# --- producer ---------------------------------------------------------------------------------------------------
# Rows acknowledged by the broker as purchases.
PRODUCER_ROWS = Counter("tillstream_producer_rows", "Rows acknowledged by the broker as purchases")
# Rows acknowledged by the broker as dead letters, by reason code.
PRODUCER_DEAD_LETTERS = Counter("tillstream_producer_dead_letters", "Rows sent to the dead letters", ["reason"])

# --- archiver ---------------------------------------------------------------------------------------------------
# Records that this archiver wrote, or found already written.
ARCHIVER_RECORDS = Counter("tillstream_archiver_records", "Records archived")
# Objects that this archiver wrote, or found already written from the same first record.
ARCHIVER_OBJECTS = Counter("tillstream_archiver_objects", "Objects archived")
# Compressed bytes of those objects.
ARCHIVER_BYTES = Counter("tillstream_archiver_bytes", "Compressed bytes archived")
# Calls to S3 that failed and were retried.
ARCHIVER_S3_FAILURES = Counter("tillstream_archiver_s3_failures", "Calls to S3 that failed and were retried")
# Records that expired in Kafka before they were archived. They are lost: alert on any.
ARCHIVER_LOST = Counter("tillstream_archiver_lost_records", "Records that left the log before they were archived")
# Archiving lag in records, by partition.
ARCHIVER_LAG = Gauge("tillstream_archiver_lag_records", "Records not yet archived", ["partition"])
# Archiving lag in seconds: age of the oldest fetched record that is not in S3 yet, by partition. Alert on this.
ARCHIVER_OPEN_SECONDS = Gauge("tillstream_archiver_open_seconds", "Age of the oldest record not in S3", ["partition"])
