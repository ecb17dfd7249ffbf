"""A server with two fronts, for all tests that leave it as it was."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from damaged_adapters import CONFIG
from served_adapters import variant
from servers import Served, serving


@pytest.fixture(scope="session")
def two_place(tmp_path_factory: pytest.TempPathFactory, adapter_folder: Path) -> Path:
    """Return a folder with a root of two adapters that answer differently, and a resolver's folder with another."""
    place = tmp_path_factory.mktemp("two")
    for number, name in enumerate(("root/a", "root/b", "found/c", "found/d")):
        variant(adapter_folder, place / name, 0)
        config = json.loads((place / name / CONFIG).read_text())
        (place / name / CONFIG).write_text(json.dumps({**config, "lora_alpha": 8 + 40 * number}))
    return place


def arguments(place: Path) -> list[str | Path]:
    return ["--fronts", "2", "--adapter-root", place / "root", "--adapter-resolver", place / "found"]


@pytest.fixture(scope="session")
def two(two_place: Path) -> Iterator[Served]:
    with serving(two_place / "log", *arguments(two_place)) as served:
        yield served
