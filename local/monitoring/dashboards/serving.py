"""Gateway and recommender: requests, errors, times."""

from local.monitoring.dashboards.expressions import FALLBACK_SHARE, RECOMMENDATIONS, quantile, rate
from local.monitoring.panels import Dashboard, Query, Row, lines

SERVING = Dashboard(
    "serving",
    "serving",
    [
        Row(
            "Gateway",
            [
                lines(
                    "Requests per second, by route",
                    Query(rate("tillstream_gateway_request_seconds_count", "route"), "{{route}}"),
                    unit="reqps",
                ),
                lines(
                    "Errors and refusals per second",
                    Query(
                        rate("tillstream_gateway_request_seconds_count", "route, status", 'status=~"4..|5.."'),
                        "{{status}} {{route}}",
                    ),
                    unit="reqps",
                ),
                lines(
                    "99 % answered within, by route",
                    Query(quantile(0.99, "tillstream_gateway_request_seconds", "route"), "{{route}}"),
                    unit="s",
                ),
                lines(
                    "Recommendations",
                    Query(quantile(0.5, "tillstream_gateway_request_seconds", selector=RECOMMENDATIONS), "median"),
                    Query(quantile(0.99, "tillstream_gateway_request_seconds", selector=RECOMMENDATIONS), "99 %"),
                    unit="s",
                ),
                lines(
                    "Posted events per second",
                    Query(rate("tillstream_gateway_intake_events_total", "verdict"), "{{verdict}}"),
                ),
                lines("Share of bestsellers for want of an answer", Query(FALLBACK_SHARE, "share"), unit="percentunit"),
                lines("Refused under load per second", Query(rate("tillstream_gateway_shed_total"), "recommendations")),
            ],
        ),
        Row(
            "Webhooks",
            [
                lines(
                    "Deliveries per second",
                    Query(
                        "sum by (system, result) (rate(tillstream_gateway_hook_deliveries_total[5m]))",
                        "{{system}}: {{result}}",
                    ),
                    width=24,
                ),
            ],
        ),
        Row(
            "Catalogue",
            [
                lines(
                    "Products",
                    Query("max by (service) (tillstream_products_known)", "{{service}}: all"),
                    Query("max by (service) (tillstream_products_withheld)", "{{service}}: not recommended"),
                ),
                lines(
                    "Written over HTTP, per second",
                    Query(rate("tillstream_gateway_products_total", "verdict"), "{{verdict}}"),
                ),
                lines(
                    "Records read per second, failures to read",
                    Query(rate("tillstream_products_records_total", "service, outcome"), "{{service}}: {{outcome}}"),
                    Query(rate("tillstream_products_follow_failures_total", "service"), "{{service}}: failures"),
                ),
                lines(
                    "From arrival to effect, 99 %",
                    Query(quantile(0.99, "tillstream_products_delay_seconds", "service"), "{{service}}"),
                    unit="s",
                ),
            ],
        ),
        Row(
            "API keys, logins, rates",
            [
                lines("Wrong keys per second", Query(rate("tillstream_gateway_wrong_keys_total"), "wrong"), width=12),
                lines(
                    "Time since a key was used",
                    Query("time() - max by (key) (tillstream_gateway_key_used_timestamp_seconds)", "{{key}}"),
                    unit="s",
                    width=12,
                ),
                lines(
                    "Logins per second, by outcome",
                    Query(rate("tillstream_gateway_logins_total", "outcome"), "{{outcome}}"),
                ),
                lines(
                    "Requests beyond a rate per second",
                    Query(rate("tillstream_gateway_rate_limited_total", "by"), "{{by}}"),
                ),
                lines(
                    "Replicas share their counts",
                    Query("min(tillstream_gateway_rates_shared)", "shared"),
                    about="1: they do. 0: they should, and each counts for itself.",
                ),
            ],
        ),
        Row(
            "Open pages",
            [
                lines("Open", Query("sum(tillstream_gateway_stream_clients)", "pages")),
                lines(
                    "Disconnected per second",
                    Query(rate("tillstream_gateway_stream_dropped_total", "reason"), "{{reason}}"),
                ),
                lines(
                    "Age of the shown figures",
                    Query('tillstream_gateway_snapshot_age_seconds{service="gateway"}', "{{instance}}"),
                    unit="s",
                ),
            ],
        ),
        Row(
            "Calls from gateway to recommender",
            [
                lines(
                    "Per second",
                    Query(
                        rate("tillstream_gateway_recommender_call_seconds_count", "method, code"),
                        "{{method}} {{code}}",
                    ),
                ),
                lines(
                    "99 % within",
                    Query(quantile(0.99, "tillstream_gateway_recommender_call_seconds", "method"), "{{method}}"),
                    unit="s",
                ),
                lines(
                    "Not OK, per second",
                    Query(
                        rate("tillstream_gateway_recommender_call_seconds_count", "method, code", 'code!="OK"'),
                        "{{method}} {{code}}",
                    ),
                ),
            ],
        ),
        Row(
            "Recommender",
            [
                lines(
                    "Answers per second",
                    Query(rate("tillstream_recommender_request_seconds_count", "method, code"), "{{method}} {{code}}"),
                ),
                lines(
                    "99 % within",
                    Query(quantile(0.99, "tillstream_recommender_request_seconds", "method"), "{{method}}"),
                    unit="s",
                ),
                lines(
                    "Time to score an answer, 99 %",
                    Query(quantile(0.99, "tillstream_recommender_scoring_seconds", "strategy"), "{{strategy}}"),
                    unit="s",
                ),
                lines(
                    "By strategy, per second",
                    Query(rate("tillstream_recommender_answers_total", "strategy"), "{{strategy}}"),
                ),
                lines(
                    "Impressions per second",
                    Query(rate("tillstream_recommender_records_total"), "recorded"),
                    Query(rate("tillstream_recommender_records_dropped_total"), "dropped"),
                ),
                lines(
                    "Longest event-loop lag of a minute",
                    Query(
                        'tillstream_loop_longest_stall_seconds{service=~"gateway|recommender"}',
                        "{{service}} {{instance}}",
                    ),
                    unit="s",
                ),
            ],
        ),
    ],
)
