"""Faults of a running stack and the alerts that they fire: `python -m bench.alarms`."""
