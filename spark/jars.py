"""The S3A connector's jars: where they are, and how Maven brings them (spark/pom.xml)."""

import shutil
import subprocess
from pathlib import Path

import pyspark

POM = Path(__file__).resolve().parent / "pom.xml"


class JarsMissing(Exception):
    """The connector is not there; the message says how to get it."""


def connector_jars(folder: Path) -> list[Path]:
    """The jars in the folder, for Spark's class path. Raises JarsMissing."""
    jars = sorted(folder.resolve().glob("*.jar"))
    if not any(jar.name.startswith("hadoop-aws-") for jar in jars):
        raise JarsMissing(f"no S3A connector (hadoop-aws) in {folder}: run `python -m spark jars`")
    return jars


def fetch_jars(folder: Path) -> list[Path]:
    """Let Maven copy the jars for the installed Spark into the folder. Raises JarsMissing with Maven's own words."""
    maven = shutil.which("mvn")
    if maven is None:
        raise JarsMissing("Maven (mvn) is not installed; on Debian: apt install maven")
    command = [maven, "-q", "-B", "-f", str(POM), f"-P{_profile()}", f"-Djars={folder.resolve()}", "package"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise JarsMissing(f"Maven failed: {(done.stdout + done.stderr).strip()[-2000:]}")
    return connector_jars(folder)


def _profile() -> str:
    """The pom's profile for the Hadoop that this Spark ships."""
    return "spark-3.5" if pyspark.__version__.startswith("3.5.") else "spark-4.3"
