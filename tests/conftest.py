"""Fixtures that all rooms share."""

from pathlib import Path

import pytest
from hypothesis import settings

from verilora.specs.domain import SHIPPED, Domain, load_domain
from verilora.synth.alignment import Alignment

# Machines are noisy: no example fails for being slow.
settings.register_profile("verilora", deadline=None)
settings.load_profile("verilora")


@pytest.fixture(scope="session")
def driving() -> Domain:
    return load_domain(SHIPPED, "driving")


@pytest.fixture(scope="session")
def greenhouse() -> Domain:
    return load_domain(Path(__file__).parent / "data", "greenhouse")


@pytest.fixture(scope="session")
def alignment(driving: Domain) -> Alignment:
    return Alignment(driving.vocabulary)
