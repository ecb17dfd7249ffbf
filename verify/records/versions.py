"""The versions of the packages that a result depends on."""

from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from platform import python_version

from ... import __version__

PACKAGES = ("torch", "transformers", "peft", "trl", "spottl")


def versions(packages: Iterable[str] = PACKAGES) -> dict[str, str]:
    """Return the versions of Python, of this code and of some packages."""
    found = {"python": python_version(), "verilora": __version__}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found
