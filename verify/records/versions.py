"""The versions of the packages that a result depends on."""

from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from platform import python_version

PACKAGES = ("verilora", "torch", "transformers", "peft", "trl", "spottl")


def versions(packages: Iterable[str] = PACKAGES) -> dict[str, str]:
    """Return the versions of Python and of some packages."""
    found = {"python": python_version()}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            # From a bare checkout nothing is installed under our own name.
            found[package] = "not installed"
    return found
