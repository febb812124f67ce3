"""Programs from Debian's archive, unpacked and not installed. apt checks the archive's signature and each checksum."""

import os
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from local.cluster.fetch.errors import FetchError

_SOURCES = Path("/etc/apt/sources.list.d")
_ONE_LINE = Path("/etc/apt/sources.list")


def download_unstable(packages: Sequence[str], folder: Path) -> list[Path]:
    """Packages of the unstable suite, without what they depend on; from the mirror that the machine uses."""
    apt = _Apt(folder)
    sources = folder / "unstable.sources"
    sources.write_text(unstable_source(_texts()))
    options = apt.options(sources)
    _run(["apt-get", *options, "update", "-qq"], folder)
    _run(["apt-get", *options, "download", "-qq", *packages], folder)
    return sorted(folder.glob("*.deb"))


def download_missing(packages: Sequence[str], folder: Path) -> list[Path]:
    """Packages of the machine's own suite with what they depend on, as far as they are not installed."""
    options = _Apt(folder).options(None)
    _run(["apt-get", *options, "update", "-qq"], folder)
    fetch = ["install", "-qq", "--yes", "--download-only", "--no-install-recommends", "--no-upgrade"]
    _run(["apt-get", *options, *fetch, *packages], folder)
    return sorted((folder / "cache" / "archives").glob("*.deb"))


def unpack(packages: Iterable[Path], into: Path) -> None:
    """The packages' files in one tree, with /bin, /lib and /sbin below /usr as on an installed system."""
    tree = into.with_name(f"{into.name}.part")
    shutil.rmtree(tree, ignore_errors=True)
    (tree / "usr").mkdir(parents=True)
    for name in ("bin", "lib", "sbin"):
        (tree / "usr" / name).mkdir()
        (tree / name).symlink_to(f"usr/{name}")
    for package in packages:
        content = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE)
        _run(["tar", "--extract", "--keep-directory-symlink", "--no-same-owner"], tree, content)
    tree.replace(into)


class _Apt:
    """apt-get with lists and downloads in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        for name in ("lists/partial", "cache/archives/partial"):
            (folder / name).mkdir(parents=True, exist_ok=True)

    def options(self, sources: Path | None) -> list[str]:
        """With these sources alone, or with the machine's."""
        chosen = {
            "Dir::State::lists": str(self._folder / "lists"),
            "Dir::Cache": str(self._folder / "cache"),
            "APT::Sandbox::User": "root",  # apt's own user may not read the folder
        }
        if sources:
            chosen |= {"Dir::Etc::sourcelist": str(sources), "Dir::Etc::sourceparts": "/dev/null"}
        return [f"-o{name}={value}" for name, value in chosen.items()]


def _texts() -> list[str]:
    files = [*sorted(_SOURCES.glob("*")), _ONE_LINE]
    return [file.read_text() for file in files if file.suffix in (".sources", ".list") and file.is_file()]


def unstable_source(texts: Iterable[str]) -> str:
    """The unstable suite at the first Debian mirror that apt's source files name. Raises FetchError."""
    for text in texts:
        for paragraph in text.split("\n\n"):
            if source := _of_paragraph(paragraph) or _of_line(paragraph):
                return source
    raise FetchError("apt knows no Debian mirror: /etc/apt/sources.list.d names none")


def _of_paragraph(text: str) -> str | None:
    fields = dict(line.split(":", 1) for line in text.splitlines() if ":" in line and not line.startswith(("#", " ")))
    if not fields.get("URIs", "").rstrip("/").endswith("/debian"):
        return None
    kept = {**fields, "Suites": " sid", "Types": " deb", "Components": " main"}
    return "".join(f"{name}:{value}\n" for name, value in kept.items())


def _of_line(text: str) -> str | None:
    for line in text.splitlines():
        words = line.split()
        address = next((word for word in words if "://" in word), "")
        if words[:1] == ["deb"] and address.rstrip("/").endswith("/debian"):
            signed = next((word.strip("[]") for word in words if "signed-by=" in word), "")
            key = f"Signed-By: {signed.partition('=')[2]}\n" if signed else ""
            return f"Types: deb\nURIs: {address}\nSuites: sid\nComponents: main\n{key}"
    return None


def _run(argv: list[str], directory: Path, source: "subprocess.Popen[bytes] | None" = None) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    answer = subprocess.run(
        argv, cwd=directory, stdin=source.stdout if source else None, capture_output=True, env=environment, check=False
    )
    if answer.returncode or (source and source.wait()):
        raise FetchError(f"{argv[0]} failed: {answer.stderr.decode(errors='replace').strip()}")
