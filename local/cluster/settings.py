"""Settings of the test cluster."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from local.layout import STATE
from services.common.settings import Port


class ClusterSettings(BaseSettings):
    """Every field is set by `TILLSTREAM_CLUSTER_<FIELD>`."""

    model_config = SettingsConfigDict(env_prefix="TILLSTREAM_CLUSTER_", frozen=True, populate_by_name=True)

    # The page, on the machine's loopback address: forwarded to the gateway's Service.
    port: Port = 8090
    # None: as many as run, else one. Nodes beyond the first run pods alone. k8s/overlays/ha wants three.
    nodes: int | None = Field(default=None, ge=1, le=9)
    state: Path = STATE / "cluster"
    # Where programs are kept, by version. The cluster's folder below it outlives the checkout.
    cache_home: Path = Field(default=Path.home() / ".cache", validation_alias="XDG_CACHE_HOME")
