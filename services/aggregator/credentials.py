"""Faust's form of what `services.common.kafka` says of the brokers' security."""

from faust.auth import Credentials, OAuthCredentials, SASLCredentials, SSLCredentials

from services.common.kafka import security_options
from services.common.settings import KafkaSettings


def broker_credentials(settings: KafkaSettings) -> Credentials | None:
    """None for plaintext."""
    options = security_options(settings)
    context = options.get("ssl_context")
    match options.get("sasl_mechanism"):
        case None:
            return SSLCredentials(context) if context else None
        case "OAUTHBEARER":
            return OAuthCredentials(oauth_cb=options["sasl_oauth_token_provider"], ssl_context=context)
        case mechanism:
            return SASLCredentials(
                username=options["sasl_plain_username"],
                password=options["sasl_plain_password"],
                ssl_context=context,
                mechanism=mechanism,
            )
