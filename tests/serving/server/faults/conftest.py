"""A server whose adapters take turns, for all tests that leave it as it was."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from servers import Served, serving


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("root")


@pytest.fixture(scope="session")
def rotating(root: Path) -> Iterator[Served]:
    """Yield a server with room for eight adapters of rank four, which are registered from `root`."""
    with serving(
        root.with_suffix(".log"), "--max-loras", "8", "--max-lora-rank", "4", "--adapter-root", root
    ) as served:
        yield served
