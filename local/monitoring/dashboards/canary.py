"""How long a canary takes on the way of a purchase."""

from local.monitoring.dashboards.expressions import rate
from local.monitoring.panels import Dashboard, Query, Row, lines


def _quantile(share: float) -> str:
    return f"histogram_quantile({share}, sum by (le, stage) (rate(tillstream_gateway_canary_seconds_bucket[5m])))"


CANARY = Dashboard(
    "canary",
    "canary",
    [
        Row(
            "Canaries (TILLSTREAM_CANARY_SECONDS)",
            [
                lines("Until it shows, median", Query(_quantile(0.5), "{{stage}}"), unit="s"),
                lines("Until it shows, 99 %", Query(_quantile(0.99), "{{stage}}"), unit="s"),
                lines(
                    "Per second",
                    Query(rate("tillstream_gateway_canaries_total"), "sent"),
                    Query("sum by (stage) (rate(tillstream_gateway_canaries_lost_total[5m]))", "lost: {{stage}}"),
                ),
            ],
        ),
    ],
)
