"""How long a service takes from the start of its process until its health check of compose.yaml succeeds."""

from datetime import datetime

from local.compose.project import Project

# Within the container, so that what starts the check is not part of the time.
_REPEAT = """\
import time
while True:
    try:
        {check}
        break
    except OSError:
        time.sleep(0.02)
print(time.time())
"""


def seconds_to_healthy(project: Project, service: str, check: list[str]) -> float:
    """Start a container anew and wait for its health check (`CMD`, Python, `-c`, code)."""
    _cmd, python, option, code = check
    container = project.restart(service)
    healthy_at = float(project.execute(container["Id"], [python, option, _REPEAT.format(check=code)]))
    return healthy_at - datetime.fromisoformat(container["State"]["StartedAt"]).timestamp()
