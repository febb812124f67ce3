"""The baselines of every evaluation, by their names in metrics.json."""

BASELINE_NAMES = (
    "popularity, all time",
    "popularity, 7 days",
    "popularity, live",
    "ALS of the predecessor, as it was",
    "ALS of the predecessor",
    "ALS, frozen",
    "ALS, folded in",
    "item-item",
    "item-item by order",
    "VMIS-kNN",
)
