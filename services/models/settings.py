"""Settings of the model registry's command line."""

from services.common.settings import S3Settings, ServiceSettings


class RegistrySettings(ServiceSettings, S3Settings):
    """Where the models are."""
