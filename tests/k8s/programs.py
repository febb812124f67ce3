"""Which program a container runs, and which variables it reads."""

from pydantic import AliasChoices

from services.aggregator.settings import AggregatorSettings
from services.archiver.settings import ArchiverSettings
from services.common.settings import Settings
from services.gateway.settings import GatewaySettings
from services.privacy.settings import PrivacySettings
from services.producer.settings import ProducerSettings
from services.provision.settings import ProvisionSettings
from services.recommender.settings import RecommenderSettings
from spark.settings import JobSettings
from tests.k8s.manifests import Object

_BY_MODULE: dict[str, type[Settings]] = {
    "services.aggregator": AggregatorSettings,
    "services.archiver": ArchiverSettings,
    "services.archiver.caught_up": ArchiverSettings,
    "services.gateway": GatewaySettings,
    "services.privacy": PrivacySettings,
    "services.producer": ProducerSettings,
    "services.provision": ProvisionSettings,
    "services.recommender": RecommenderSettings,
    "spark": JobSettings,
}


def module_of(container: Object) -> str | None:
    """The Python module that a container runs; None for an engine. An image's own module is its name."""
    arguments = container.get("args", [])
    module = arguments[0] if arguments else f"services.{container['image'].split('/')[-1].split(':')[0].split('@')[0]}"
    return module if module in _BY_MODULE else None


def settings_of(container: Object) -> type[Settings] | None:
    """The settings of its program."""
    module = module_of(container)
    return _BY_MODULE[module] if module else None


def variables_of(container: Object) -> set[str]:
    """The TILLSTREAM_ variables that its program reads."""
    settings = settings_of(container)
    if settings is None:
        return set()
    found = set()
    for name, field in settings.model_fields.items():
        alias = field.validation_alias
        choices = alias.choices if isinstance(alias, AliasChoices) else [f"TILLSTREAM_{name.upper()}"]
        found |= {str(each) for each in choices}
    return found
