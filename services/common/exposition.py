"""The metrics of this process as a scraper reads them.

The text format, unless traces are recorded and the scraper takes OpenMetrics. Only that format has exemplars: they lead
from a bucket of a histogram to the trace of a request in it.
"""

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest
from prometheus_client.exposition import choose_encoder

from services.common import tracing

_OPENMETRICS = "application/openmetrics-text"


def exposition(accept: str) -> tuple[str, bytes]:
    """Content type and body for a request with this `Accept` header."""
    if tracing.enabled() and _OPENMETRICS in accept:
        encode, content_type = choose_encoder(_OPENMETRICS)
        return content_type, encode(REGISTRY)
    return CONTENT_TYPE_LATEST, generate_latest()
