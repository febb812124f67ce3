"""The cache: each program once, by version. What is there is not fetched again; what was interrupted goes on."""

import shutil
import subprocess
from pathlib import Path

from local.cluster import prerequisites
from local.cluster.fetch import debian, go_programs
from local.cluster.fetch.errors import FetchError
from local.cluster.layout import Cache
from local.cluster.oci import SmallImage, write_archive
from local.cluster.templates import COREDNS_IMAGE, PAUSE_IMAGE
from local.cluster.versions import OWN_PACKAGES, UNSTABLE_PACKAGES
from local.console import say
from local.lockfile import exclusive

_UNSTABLE_PROGRAMS = ("etcd", "containerd", "containerd-shim-runc-v2", "ctr")


def image_archives(cache: Cache) -> list[Path]:
    """Archives of the images that the cluster itself needs."""
    return [cache.root / "pause.tar", cache.root / "coredns.tar"]


def fetch(cache: Cache) -> None:
    """Fill the cache. Takes a quarter of an hour the first time, 2 GB of downloads and 6 GB of disk meanwhile.

    Raises MissingPrerequisite, FetchError; AlreadyRunning while another command fills it.
    """
    if (cache.root / ".complete").exists():
        return
    prerequisites.check_building()
    with exclusive(cache.root / ".lock", f"another command fills {cache.root}"):
        _fetch_debian(cache)
        _build_go(cache)
        _make_images(cache)
        say(f"programs are in {cache.root}")
        shutil.rmtree(cache.scratch)
        (cache.root / ".complete").touch()


def _fetch_debian(cache: Cache) -> None:
    if not all((cache.bin / program).exists() for program in _UNSTABLE_PROGRAMS):
        say("fetching etcd, containerd and CNI plugins from Debian's unstable suite")
        tree = cache.scratch / "unstable"
        debian.unpack(debian.download_unstable(UNSTABLE_PACKAGES, _folder(cache.scratch / "apt-unstable")), tree)
        shutil.copytree(tree / "usr" / "lib" / "cni", cache.cni, dirs_exist_ok=True)
        for program in _UNSTABLE_PROGRAMS:
            shutil.copy2(tree / "usr" / "bin" / program, _folder(cache.bin))
    if not cache.usr.exists():
        say("fetching runc and the network's tools, as far as this machine lacks them")
        tree = cache.scratch / "own"
        debian.unpack(debian.download_missing(OWN_PACKAGES, _folder(cache.scratch / "apt-own")), tree)
        _link_iptables(tree / "usr" / "sbin")
        (tree / "usr").replace(cache.usr)


def _link_iptables(folder: Path) -> None:
    """What the package's installation script would link."""
    for name in ("iptables", "iptables-save", "iptables-restore", "ip6tables", "ip6tables-save", "ip6tables-restore"):
        if (folder / "xtables-nft-multi").exists() and not (folder / name).exists():
            (folder / name).symlink_to("xtables-nft-multi")


def _build_go(cache: Cache) -> None:
    for module in go_programs.MODULES:
        if not all((cache.bin / program).exists() for program in module.programs):
            say(f"building {', '.join(module.programs)} from Go modules")
            go_programs.build(module, cache.scratch / "go", cache.bin)


def _make_images(cache: Cache) -> None:
    pause, coredns = image_archives(cache)
    if not pause.exists():
        source = go_programs.source_of_kubernetes(cache.scratch / "go") / "build" / "pause" / "linux" / "pause.c"
        program = cache.scratch / "pause"
        _compile(source, program)
        write_archive(SmallImage(PAUSE_IMAGE, (program,), ("/pause",)), pause)
    write_archive(SmallImage(COREDNS_IMAGE, (cache.bin / "coredns",), ("/coredns",)), coredns)


def _compile(source: Path, program: Path) -> None:
    answer = subprocess.run(
        ["gcc", "-Os", "-static", "-DVERSION=node", "-o", program, source], capture_output=True, text=True, check=False
    )
    if answer.returncode:
        raise FetchError(f"gcc cannot compile the pause program (apt-get install libc6-dev): {answer.stderr.strip()}")


def _folder(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path
