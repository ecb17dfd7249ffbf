"""Fixtures that all rooms share, and how processes share the tests."""

import gc
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from verilora.specs.domain import Domain, load_domain
from verilora.synth.controllers.alignment import Alignment
from verilora.verify.checking import compiled

# Machines are noisy: no example fails for being slow.
settings.register_profile("verilora", deadline=None)
settings.load_profile("verilora")

TESTS = Path(__file__).parent
# They take the most CPU, half a minute each, and go first: what begins late keeps one process busy alone at the end.
LONGEST = (
    "kernels/test_compile.py",
    "finetune/test_train.py",
    "finetune/training/test_dpo.py",
    "envs/test_right_of_way.py",
    "test_simulation_commands.py",
    "verify/rulebooks/test_lint.py",
)


def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput"):
        # A worker of pytest-xdist has one core, and so has all that it starts. Before torch is imported.
        os.environ["OMP_NUM_THREADS"] = "1"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):
        order = {TESTS / name: place for place, name in enumerate(LONGEST)}
        assert all(path.is_file() for path in order), "LONGEST names a file that is not there"
        items.sort(key=lambda item: order.get(item.path, len(order)))


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("needs an NVIDIA GPU")


def pytest_collection_finish() -> None:
    # What is imported now stays: neither the collector nor forked children go through it again and again.
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    gc.unfreeze()


@pytest.fixture(scope="session", autouse=True)
def translations() -> Iterator[None]:
    """Let each formula be translated once under a time limit, however many tests ask.

    A translation forks this process, which is large with all rooms in it. What exceeds its limit is tried again.
    """
    known: dict[tuple[Any, ...], Any] = {}

    def remembering(within: Callable[..., Any]) -> Callable[..., Any]:
        def remembered(*question: Any) -> Any:
            if question not in known:
                known[question] = within(*question)
            return known[question]

        return remembered

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiled, "within", remembering(compiled.within))
        yield


@pytest.fixture(scope="session")
def driving() -> Domain:
    return load_domain("driving")


@pytest.fixture(scope="session")
def greenhouse() -> Domain:
    return load_domain("greenhouse", TESTS / "data")


@pytest.fixture(scope="session")
def alignment(driving: Domain) -> Alignment:
    return Alignment(driving.vocabulary)
