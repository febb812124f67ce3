"""Send a purchase file into the stack with the producer."""

from dataclasses import dataclass
from pathlib import Path

from local.console import say
from local.datasets import main as write_dataset
from local.layout import STATE, Layout
from local.ports import is_free
from local.process import Program
from local.services import service_program
from local.settings import StackSettings
from local.stack import PRODUCER

DEMO_DATA = STATE / "datasets" / "completejourney.csv.gz"


@dataclass(frozen=True, slots=True)
class ProducerRun:
    """What to send: `rate` as the producer understands it; `rows` a range such as `:90%`, all where None.

    `mapping` says how the file is read; None for the seed layout.
    """

    file: Path
    rate: str
    source: str | None = None
    rows: str | None = None
    mapping: Path | None = None

    def program(
        self, settings: StackSettings, layout: Layout, environment: dict[str, str], log: Path | None
    ) -> Program:
        """The producer's command; its telemetry is off while another producer has the port."""
        port = settings.producer_metrics_port if is_free(settings.producer_metrics_port) else 0
        variables = {**environment, "TILLSTREAM_METRICS_PORT": str(port)}
        return service_program(PRODUCER, self._arguments(layout.data / "producer"), log, variables)

    def _arguments(self, checkpoints: Path) -> list[str]:
        options = {
            "--rate": self.rate,
            "--source": self.source,
            "--rows": self.rows,
            "--mapping": self.mapping and str(self.mapping.absolute()),
            "--state": str(checkpoints),
        }
        given = [part for name, value in options.items() if value for part in (name, value)]
        return [str(self.file.absolute()), *given]


def demo_data() -> Path:
    """The grocery set in the seed layout, written at first use."""
    if not DEMO_DATA.exists():
        say("converting the completejourney set to purchases (first run only)")
        DEMO_DATA.parent.mkdir(parents=True, exist_ok=True)
        write_dataset(["completejourney", str(DEMO_DATA)])
    return DEMO_DATA
