"""Parts of PromQL expressions that several dashboards use."""

RATE = "[$__rate_interval]"
RECOMMENDATIONS = 'route=~"/v1/.*(recommendations|similar)"'


def rate(counter: str, by: str = "", selector: str = "") -> str:
    """Increase per second of a counter, summed by these labels."""
    selected = f"{counter}{{{selector}}}" if selector else counter
    return f"sum{f' by ({by}) ' if by else ''}(rate({selected}{RATE}))"


def quantile(q: float, histogram: str, by: str = "", selector: str = "") -> str:
    """A quantile of a histogram, for each combination of these labels."""
    return f"histogram_quantile({q}, {rate(f'{histogram}_bucket', f'le, {by}' if by else 'le', selector)})"


_ANSWERS = "tillstream_gateway_recommendations_total"
_FALLBACK = 'strategy="popular_fallback"'

MODEL_AGE = 'time() - max(tillstream_recommender_model_created_timestamp_seconds{service="recommender"} > 0)'
FALLBACK_SHARE = f"({rate(_ANSWERS, selector=_FALLBACK)} or vector(0)) / {rate(_ANSWERS)}"
