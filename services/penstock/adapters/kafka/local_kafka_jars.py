"""Resolves Apache Kafka with Maven, once, into a folder that later starts reuse."""

import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path

import structlog

from penstock.errors import ConfigurationError, UnavailableError

POM = Path(__file__).with_name("pom.xml")
RESOLVE_SECONDS = 300

log = structlog.get_logger(__name__)


def resolve(cache_directory: Path) -> Path:
    """The folder with Kafka's jars, in a subfolder of the cache named by what `pom.xml` asks for.

    Raises:
        ConfigurationError: Maven is not installed.
        UnavailableError: Maven cannot resolve them.
    """
    cache_directory = cache_directory.absolute()  # Maven takes a relative path from where its pom.xml lies
    jars = cache_directory / f"libs-{hashlib.sha256(POM.read_bytes()).hexdigest()[:12]}"
    if jars.is_dir():
        return jars
    maven = required("mvn", "maven")
    cache_directory.mkdir(parents=True, exist_ok=True)
    log.info("resolving Apache Kafka with Maven, once", into=str(jars))
    with tempfile.TemporaryDirectory(dir=cache_directory, prefix="resolving-") as work:
        _copy_dependencies(maven, Path(work))
        try:
            (Path(work) / "libs").rename(jars)
        except OSError:
            if not jars.is_dir():  # another process may have been faster; its jars are as good
                raise
    return jars


def required(program: str, package: str) -> str:
    """The path of a program, or a sentence that says how to get it. Raises `ConfigurationError`."""
    path = shutil.which(program)
    if path is None:
        raise ConfigurationError(
            f"A local Kafka needs {program!r}, which is not installed; on Debian: apt-get install {package}."
        )
    return path


def _copy_dependencies(maven: str, work: Path) -> None:
    shutil.copy(POM, work / "pom.xml")
    command = [maven, "-q", "-B", "-f", str(work / "pom.xml"), "dependency:copy-dependencies"]
    command += [f"-DoutputDirectory={work / 'libs'}", "-DincludeScope=runtime"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=RESOLVE_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise UnavailableError(f"Maven has not resolved Apache Kafka within {RESOLVE_SECONDS} s.") from None
    if done.returncode != 0:
        last_lines = "\n".join((done.stdout + done.stderr).strip().splitlines()[-10:])
        raise UnavailableError(f"Maven cannot resolve Apache Kafka:\n{last_lines}")
