"""Fixtures that all rooms share."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from verilora.specs.domain import Domain, load_domain
from verilora.synth.controllers.alignment import Alignment
from verilora.verify.checking import compiled, trace

# Machines are noisy: no example fails for being slow.
settings.register_profile("verilora", deadline=None)
settings.load_profile("verilora")


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
        for module in (compiled, trace):
            patch.setattr(module, "within", remembering(module.within))
        yield


@pytest.fixture(scope="session")
def driving() -> Domain:
    return load_domain("driving")


@pytest.fixture(scope="session")
def greenhouse() -> Domain:
    return load_domain("greenhouse", Path(__file__).parent / "data")


@pytest.fixture(scope="session")
def alignment(driving: Domain) -> Alignment:
    return Alignment(driving.vocabulary)
