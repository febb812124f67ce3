"""Clocks of the services' hosts, each of which may be wrong. Kafka, Redis and S3 have the right time."""

from pathlib import Path

_SITECUSTOMIZE = Path(__file__).parent / "host_clock"
HOSTS = ("producer", "aggregator", "archiver", "gateway", "recommender")


class HostClocks:
    """How far the clock of each host is off: a file that its services read while they run."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def environment(self, host: str) -> dict[str, str]:
        """What a service of this host is started with."""
        if not self._file(host).exists():
            self.set_off(host, 0)
        return {"PYTHONPATH": str(_SITECUSTOMIZE), "FAULTS_CLOCK": str(self._file(host))}

    def set_off(self, host: str, seconds: float) -> None:
        """Set a clock ahead, or back where `seconds` is negative; 0 sets it right."""
        self._folder.mkdir(parents=True, exist_ok=True)
        new = self._file(host).with_suffix(".new")
        new.write_text(str(seconds))
        new.replace(self._file(host))  # never half written

    def _file(self, host: str) -> Path:
        return self._folder / host
