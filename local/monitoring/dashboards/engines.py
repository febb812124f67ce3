"""Redis, the S3 store, and every process."""

from local.monitoring.dashboards.expressions import RATE, quantile
from local.monitoring.panels import Dashboard, Query, Row, lines, table

ENGINES = Dashboard(
    "engines",
    "engines and processes",
    [
        Row(
            "Redis",
            [
                lines(
                    "Memory, of its limit",
                    Query(
                        "max by (node) (tillstream_redis_memory_used_bytes)"
                        " / (max by (node) (tillstream_redis_memory_max_bytes) > 0)",
                        "{{node}}",
                    ),
                    unit="percentunit",
                ),
                lines("Memory", Query("max by (node) (tillstream_redis_memory_used_bytes)", "{{node}}"), unit="bytes"),
                lines(
                    "Script calls per second",
                    Query(f"max by (node) (rate(tillstream_redis_script_calls_total{RATE}))", "{{node}}"),
                ),
                lines(
                    "One script call, by Redis's clock",
                    Query(
                        f"max by (node) (rate(tillstream_redis_script_seconds_total{RATE})"
                        f" / rate(tillstream_redis_script_calls_total{RATE}))",
                        "{{node}}: mean",
                    ),
                    Query("max by (node) (tillstream_redis_script_p99_seconds)", "{{node}}: 99 % since its start"),
                    unit="s",
                ),
                lines(
                    "Keys evicted",
                    Query("max by (node) (tillstream_redis_evicted_keys_total)", "{{node}}"),
                    about="Must be 0.",
                ),
                lines(
                    "May evict",
                    Query('tillstream_aggregator_redis_evicts{service="aggregator"}', "{{instance}}"),
                    about="Must be 0.",
                ),
            ],
        ),
        Row(
            "S3 store (SeaweedFS)",
            [
                lines(
                    "Requests per second",
                    Query(f"sum by (type, code) (rate(SeaweedFS_s3_request_total{RATE}))", "{{type}} {{code}}"),
                ),
                lines(
                    "99 % answered within",
                    Query(quantile(0.99, "SeaweedFS_s3_request_seconds", "type"), "{{type}}"),
                    unit="s",
                ),
                lines(
                    "Volumes that take no writes",
                    Query("sum by (type) (SeaweedFS_volumeServer_read_only_volumes)", "{{type}}"),
                    about="isDiskSpaceLow must be 0: less than 1 % of the disk is left.",
                ),
            ],
        ),
        Row(
            "Processes",
            [
                lines("Memory", Query("process_resident_memory_bytes", "{{service}} {{instance}}"), unit="bytes"),
                lines("Cores", Query(f"rate(process_cpu_seconds_total{RATE})", "{{service}} {{instance}}")),
                lines("Open files", Query("process_open_fds", "{{service}} {{instance}}")),
                lines(
                    "Event-loop lag, 99 %",
                    Query(quantile(0.99, "tillstream_loop_stall_seconds", "service"), "{{service}}"),
                    unit="s",
                ),
                lines(
                    "Longest event-loop lag of a minute",
                    Query("tillstream_loop_longest_stall_seconds", "{{service}} {{instance}}"),
                    unit="s",
                ),
                lines("Answers to scrapes", Query("up", "{{service}} {{instance}}")),
            ],
        ),
        Row(
            "Checks and versions",
            [
                table("Checks of /readyz", "tillstream_health_check", width=12),
                table("Versions", "tillstream_build_info", width=12),
            ],
        ),
    ],
)
