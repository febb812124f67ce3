"""Where a run keeps its intermediate results in the bucket."""

from services.common.object_store import ObjectStore
from spark.versions import RunId

CURATED = "curated/purchases/"
REPORTS = "reports/"
CHECKPOINTS = "checkpoints/"


def curated_folder(run_id: RunId) -> str:
    """Where a run's curated purchases are."""
    return f"{CURATED}{run_id.version}/"


def delete_folder(store: ObjectStore, folder: str) -> None:
    """Delete every object below a prefix."""
    for key, _ in list(store.list(folder)):
        store.delete(key)
