"""Run a program that dies with its parent: `python parent_death.py PARENT_PID PROGRAM ARGUMENT...`.

A supervisor that is killed with SIGKILL cannot stop its children. The kernel can (Linux, PR_SET_PDEATHSIG), if each
child asks for it between fork and exec. A separate program does that without the hazards of `preexec_fn` in a
process with threads. On other systems the program outlives its parent.
"""

import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def die_with_parent(parent_pid: int, signal_number: int = signal.SIGKILL) -> None:
    """Ask the kernel to send `signal_number` to this process when its parent ends; exit if it already has."""
    if sys.platform != "linux":
        return
    import ctypes  # noqa: PLC0415  not needed, and slow to load, elsewhere

    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal_number, 0, 0, 0)
    if os.getppid() != parent_pid:
        sys.exit("the parent has already ended")


if __name__ == "__main__":
    die_with_parent(int(sys.argv[1]))
    try:
        os.execvp(sys.argv[2], sys.argv[2:])
    except OSError as error:
        sys.exit(f"cannot run {sys.argv[2]}: {error.strerror}")
