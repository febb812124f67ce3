"""The recommender's settings."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, SecretStr, model_validator

from recsys.variety_settings import VarietySettings
from services.common.settings import (
    EventSettings,
    KafkaSettings,
    Port,
    RecommenderSocketSettings,
    S3Settings,
    ServiceSettings,
    is_loopback,
)
from services.common.tls import BadTlsFiles, TlsFiles, server_context

_FilePath = Annotated[Path | None, BeforeValidator(lambda given: given or None)]


class RecommenderSettings(
    ServiceSettings, KafkaSettings, S3Settings, EventSettings, VarietySettings, RecommenderSocketSettings
):
    """Where to listen, how often to look for a new model, and how much to remember of the stream."""

    recommender_port: Port = 50051
    metrics_port: Port = 9104
    model_poll_s: float = Field(default=2.0, gt=0, le=3600)
    # Requests beyond this are answered RESOURCE_EXHAUSTED at once rather than queued for longer than anyone waits.
    recommender_max_concurrent: int = Field(default=1000, ge=1)
    # A client's connection ends after so long, without an error: it asks DNS again, and finds replicas that are new.
    recommender_connection_seconds: float = Field(default=60.0, ge=1)
    # PEM files of the gRPC server's certificate and key: with them it speaks TLS. With an authority, clients must show
    # a certificate of it (mutual TLS). Renewed files count from the next connection on.
    recommender_server_cert_file: _FilePath = None
    recommender_server_key_file: _FilePath = None
    recommender_server_ca_file: _FilePath = None
    # Bearer tokens, separated by white space: clients must send one of them. Several are valid while one is replaced.
    recommender_token: SecretStr | None = Field(default=None, min_length=16)
    # Whether gRPC clients may ask for the methods and messages, as grpcurl does.
    recommender_reflection: bool = False
    # Rows for products that are sold for the first time after the model was trained; beyond them such products wait
    # for the next model. A row takes some 600 bytes at rank 64.
    recommender_spare_products: int = Field(default=10_000, ge=0, le=10_000_000)
    # Of these rows so many, at most half, may go to products of the catalogue that nobody has bought yet: in stock,
    # with a category.
    recommender_unsold_products: int = Field(default=1_000, ge=0, le=10_000_000)
    # A new model answers as soon as it knows the stream, or makes no progress for so long (Kafka away).
    recommender_patience_s: float = Field(default=5.0, ge=0)
    # Share of the customers whose answers are recorded in topic `recommendations`; 0: none.
    recommendations_share: float = Field(default=0.1, ge=0, le=1)

    @property
    def server_files(self) -> TlsFiles:
        """The PEM files together."""
        return TlsFiles(
            self.recommender_server_ca_file, self.recommender_server_cert_file, self.recommender_server_key_file
        )

    @property
    def tokens(self) -> list[str]:
        """The tokens that are valid."""
        return self.recommender_token.get_secret_value().split() if self.recommender_token else []

    @model_validator(mode="after")
    def _server_can_be_reached(self) -> Self:
        if self.server_files:
            try:
                server_context(self.server_files)
            except BadTlsFiles as error:
                raise ValueError(f"TILLSTREAM_RECOMMENDER_SERVER_*_FILE: {error}") from None
            if self.recommender_server_key_file is None:
                raise ValueError("TILLSTREAM_RECOMMENDER_SERVER_CERT_FILE needs TILLSTREAM_RECOMMENDER_SERVER_KEY_FILE")
        elif self.tokens and not is_loopback(self.host):
            raise ValueError("TILLSTREAM_RECOMMENDER_TOKEN needs TLS: set TILLSTREAM_RECOMMENDER_SERVER_CERT_FILE")
        return self
