"""The gRPC channel to the recommender: all its replicas in turn, over plaintext or TLS."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import grpc

from proto.tillstream.recommender.v1 import recommender_pb2 as pb
from services.common.tls import NO_TLS, TlsFiles

SERVICE = pb.DESCRIPTOR.services_by_name["Recommender"].full_name
ALL_REPLICAS: Mapping[str, Any] = {"loadBalancingConfig": [{"round_robin": {}}]}
# Calls go in turn to the replicas behind one name that say they are SERVING: one without a model is left out. A call
# that a replica did not answer goes to another one within its deadline; every call only reads. While most calls fail,
# none is retried.
SERVING_REPLICAS = {
    **ALL_REPLICAS,
    "healthCheckConfig": {"serviceName": SERVICE},
    "methodConfig": [
        {
            "name": [{"service": SERVICE}],
            "retryPolicy": {
                "maxAttempts": 4,
                "initialBackoff": "0.01s",
                "maxBackoff": "0.05s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": [grpc.StatusCode.UNAVAILABLE.name],
            },
        }
    ],
    "retryThrottling": {"maxTokens": 100, "tokenRatio": 1},
}
_MAX_MESSAGE_BYTES = 16 * 1024 * 1024
_OPTIONS: list[tuple[str, int]] = [
    ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
    ("grpc.service_config_disable_resolution", 1),  # it is not in DNS
    ("grpc.enable_http_proxy", 0),
    # Reconnect soon after the recommender is back: the default backs off up to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    # Also how long a connection may take to open: the address of a pod that is gone does not answer at all.
    ("grpc.min_reconnect_backoff_ms", 1_000),
    # A lost connection asks DNS for the replicas of now. The default allows that twice a minute.
    ("grpc.dns_min_time_between_resolutions_ms", 1_000),
    # Finds a connection whose other end has vanished without a word; the recommender allows that often.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 2_000),
    ("grpc.keepalive_permit_without_calls", 1),
]


@dataclass(frozen=True, slots=True)
class RecommenderAccess:
    """How the recommender trusts us, and we trust it. Without `tls` the channel is plaintext."""

    tls: TlsFiles = NO_TLS
    token: str | None = None

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What each call carries."""
        return () if self.token is None else (("authorization", f"Bearer {self.token}"),)


def open_channel(address: str, service_config: Mapping[str, Any], tls: TlsFiles) -> grpc.aio.Channel:
    """A channel that connects later. Raises OSError where a file of `tls` cannot be read."""
    options = [*_OPTIONS, ("grpc.service_config", json.dumps(service_config))]
    if not tls:
        return grpc.aio.insecure_channel(address, options=options)
    authority, key, cert = (path.read_bytes() if path else None for path in (tls.ca, tls.key, tls.cert))
    return grpc.aio.secure_channel(address, grpc.ssl_channel_credentials(authority, key, cert), options=options)
