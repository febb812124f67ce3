"""The first look: answers, figures, what is wrong, service levels."""

from local.monitoring.dashboards.expressions import FALLBACK_SHARE, MODEL_AGE, RECOMMENDATIONS, quantile, rate
from local.monitoring.panels import Dashboard, Limits, Query, Row, figure, lines, table

OVERVIEW = Dashboard(
    "overview",
    "overview",
    [
        Row(
            "Do customers get answers? Are figures exact and fresh?",
            [
                figure(
                    "Recommendations answered",
                    '1 - tillstream:slo_error_ratio:5m{slo="recommendations"}',
                    "percentunit",
                    Limits(0.9999, 0.999),
                    "Share of requests without an error of ours, over 5 minutes. Objective: 99.9 %.",
                ),
                figure(
                    "99 % answered within",
                    quantile(0.99, "tillstream_gateway_request_seconds", selector=RECOMMENDATIONS),
                    "s",
                    Limits(0.05, 0.1),
                    "Time to a recommendation's first byte. Objective: 100 ms.",
                ),
                figure(
                    "Answers without the recommender",
                    FALLBACK_SHARE,
                    "percentunit",
                    Limits(0.01, 0.05),
                    "Bestsellers, because the recommender did not answer.",
                ),
                figure(
                    "Figures that differ",
                    'max(tillstream_reconciliation_differences{service="gateway"})',
                    "none",
                    Limits(1, 1),
                    "Live figures against the archive, at the last comparison. No value: not compared yet.",
                ),
                figure(
                    "Oldest purchase not counted",
                    "max(tillstream_gateway_lag_seconds)",
                    "s",
                    Limits(2, 5),
                    "For how long it has been in Kafka. Objective: below 5 s.",
                ),
                figure(
                    "Age of the shown figures",
                    'max(tillstream_gateway_snapshot_age_seconds{service="gateway"})',
                    "s",
                    Limits(2, 5),
                ),
            ],
        ),
        Row(
            "What is wrong",
            [
                table(
                    "Firing alerts",
                    'ALERTS{alertstate="firing",alertname!="Watchdog"}',
                    "What to do: docs/runbooks/alerts.md.",
                    width=12,
                ),
                table("Failing checks", "tillstream_health_check == 0", "The reason is in /readyz.", width=12),
            ],
        ),
        Row(
            "Service levels (docs/slo.md)",
            [
                lines("Bad share, last hour", Query("tillstream:slo_error_ratio:1h", "{{slo}}"), unit="percentunit"),
                lines(
                    "Speed at which the budget burns",
                    Query("tillstream:slo_error_ratio:1h / on(slo) tillstream:slo_budget", "{{slo}}"),
                    about="1: the month's budget lasts a month. From 14.4 on somebody is called.",
                ),
                lines(
                    "Budget used in the last three days",
                    Query("tillstream:slo_error_ratio:3d / on(slo) tillstream:slo_budget / 10", "{{slo}}"),
                    unit="percentunit",
                ),
            ],
        ),
        Row(
            "From purchase to recommendation",
            [
                lines(
                    "Purchases per second",
                    Query(rate("tillstream_producer_rows_total"), "sent by the producer"),
                    Query(
                        rate("tillstream_gateway_intake_events_total", selector='verdict="accepted"'),
                        "posted to the gateway",
                    ),
                    Query(rate("tillstream_aggregator_lines_total"), "counted"),
                    Query(rate("tillstream_archiver_records_total"), "archived"),
                ),
                lines(
                    "Recommendations per second",
                    Query(rate("tillstream_gateway_recommendations_total", "strategy"), "{{strategy}}"),
                ),
                lines(
                    "Dead letters per second",
                    Query(rate("tillstream_aggregator_dead_letters_total", "reason"), "{{reason}}"),
                    Query(rate("tillstream_producer_dead_letters_total", "reason"), "{{reason}} (producer)"),
                ),
                figure("Model's age", MODEL_AGE, "s", Limits(2 * 86400, 3 * 86400)),
                figure("Age of its knowledge", "max(tillstream:state_age:seconds)", "s", Limits(5, 10)),
                figure("Open pages", "sum(tillstream_gateway_stream_clients)", "none"),
            ],
        ),
    ],
)
