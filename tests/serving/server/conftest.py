"""A server of the embedded model with an adapter, and the engine that says what it must answer."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from openai import OpenAI

from verilora.serving.engine.generator import Generator

from servers import Served, serving
from tiny_models import base_model, save_tiny_adapter


@pytest.fixture(scope="session")
def adapter_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_adapter(tmp_path_factory.mktemp("adapters") / "tenant", base_model(), scale=0.5)


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory, adapter_folder: Path) -> Iterator[Served]:
    log = tmp_path_factory.mktemp("server") / "log"
    with serving(log, "--adapter", f"tenant/one={adapter_folder}") as one:
        yield one


@pytest.fixture(scope="session")
def client(served: Served) -> OpenAI:
    return OpenAI(base_url=served.url, api_key="none", max_retries=0)


@pytest.fixture(scope="session")
def generator(adapter_folder: Path) -> Generator:
    generator = Generator()
    generator.engine.add_adapter("tenant/one", adapter_folder)
    return generator
