"""The dashboards: what is asked of Prometheus. Metrics: docs/metrics.md; recorded series: monitoring/rules."""

from local.monitoring.dashboards.canary import CANARY
from local.monitoring.dashboards.engines import ENGINES
from local.monitoring.dashboards.model import MODEL
from local.monitoring.dashboards.overview import OVERVIEW
from local.monitoring.dashboards.serving import SERVING
from local.monitoring.dashboards.streaming import STREAMING

ALL = (OVERVIEW, STREAMING, SERVING, MODEL, ENGINES, CANARY)
