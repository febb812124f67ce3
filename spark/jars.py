"""The S3A connector's jars: found in a folder, fetched with Maven (spark/pom.xml)."""

import shutil
import subprocess
from pathlib import Path

import pyspark

POM = Path(__file__).resolve().parent / "pom.xml"


class JarsMissing(Exception):
    """The connector is missing; the message says how to fetch it."""


def connector_jars(folder: Path) -> list[Path]:
    """The jars in the folder, for Spark's class path. Raises JarsMissing."""
    jars = sorted(folder.resolve().glob("*.jar"))
    if not any(jar.name.startswith("hadoop-aws-") for jar in jars):
        raise JarsMissing(f"no S3A connector (hadoop-aws) in {folder}: run `python -m spark jars`")
    return jars


def fetch_jars(folder: Path) -> list[Path]:
    """Copy the jars for the installed Spark into the folder with Maven. Raises JarsMissing with Maven's message."""
    maven = shutil.which("mvn")
    if maven is None:
        raise JarsMissing("Maven (mvn) is not installed; on Debian: apt install maven")
    command = [
        maven,
        "-q",
        "-B",
        "--strict-checksums",
        "-f",
        str(POM),
        f"-P{_profile()}",
        f"-Djars={folder.resolve()}",
        "package",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise JarsMissing(f"Maven failed: {(done.stdout + done.stderr).strip()[-2000:]}")
    return connector_jars(folder)


def _profile() -> str:
    """The pom's profile for the Hadoop version of this Spark."""
    return "spark-3.5" if pyspark.__version__.startswith("3.5.") else "spark-4.3"
