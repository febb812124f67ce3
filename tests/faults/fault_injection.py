"""Base class of the injected faults."""

import random

from tests.faults.rig import Rig


class FaultInjection:
    """One injected fault. `notes` describe what happened."""

    def __init__(self, rig: Rig, chance: random.Random) -> None:
        self.rig = rig
        self.chance = chance
        self.notes: list[str] = []

    def inject(self) -> None:
        """Inject the fault."""

    def end(self) -> None:
        """End the fault: restart, resume or free what it affected."""
