"""Adapters that are let go of while they are read, and requests that come for one that was let go of."""

from pathlib import Path
from typing import Any

import pytest

from verilora.serving.engine.engine import Engine
from verilora.serving.requests.request import Request
from verilora.serving.requests.sampling_params import SamplingParams
from verilora.serving.wire.adapter_loads import AdapterLoads

from engines import engine_of, random_model, save_adapter
from servers import until

PARAMS = SamplingParams(temperature=0, max_tokens=4)


class Waiting:
    """Somebody who comes for an adapter, and begins a request with it as soon as it is there."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.heard: list[str] = []
        self.finishes: list[object] = []

    def __call__(self, error: str) -> None:
        self.heard.append(error)
        if not error:
            request = Request(prompt=(1, 2), params=PARAMS, adapter="d1")
            self._engine.submit(request, lambda sequence: self.finishes.append(sequence.finish))


@pytest.fixture(scope="module")
def model() -> Any:
    return random_model()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, model: Any) -> str:
    return str(save_adapter(tmp_path_factory.mktemp("adapters") / "one", model))


@pytest.fixture
def engine(model: Any) -> Engine:
    return engine_of(model)


@pytest.fixture
def loads(engine: Engine) -> AdapterLoads:
    return AdapterLoads(engine)


def collect(loads: AdapterLoads) -> None:
    def is_done() -> bool:
        loads.collect()
        return not loads.is_busy

    until(is_done)


def test_what_is_let_go_of_while_it_is_read_serves_those_who_wait_and_goes(
    loads: AdapterLoads, engine: Engine, folder: str
) -> None:
    waiting = Waiting(engine)
    loads.want("d1", folder, waiting)
    loads.forget("d1")
    collect(loads)
    assert waiting.heard == [""]
    assert engine.list_adapters() == {}
    while engine.step():
        pass
    assert len(waiting.finishes) == PARAMS.max_tokens, "it runs to its end all the same"


def test_a_request_behind_the_unloading_has_its_version_and_leaves_no_name(
    loads: AdapterLoads, engine: Engine, folder: str
) -> None:
    loads.want("d1", folder, lambda _: None)
    collect(loads)
    loads.forget("d1")
    waiting = Waiting(engine)
    for _ in range(2):
        loads.want("d1", folder, waiting, is_kept=False)
    collect(loads)
    assert waiting.heard == ["", ""]
    assert engine.list_adapters() == {}
    while engine.step():
        pass
    assert len(waiting.finishes) == 2 * PARAMS.max_tokens


@pytest.mark.parametrize("is_read_before", [False, True])
def test_what_comes_back_stays(loads: AdapterLoads, engine: Engine, folder: str, is_read_before: bool) -> None:
    loads.want("d1", folder, lambda _: None)
    if is_read_before:
        collect(loads)
    loads.forget("d1")
    loads.want("d1", folder, lambda _: None)
    loads.want("d1", folder, lambda _: None, is_kept=False)
    collect(loads)
    assert [*engine.list_adapters()] == ["d1"]
    loads.forget("d1")
    assert engine.list_adapters() == {}


def test_what_cannot_be_read_can_be_forgotten_and_asked_for_again(
    loads: AdapterLoads, engine: Engine, folder: str, tmp_path: Path
) -> None:
    waiting = Waiting(engine)
    loads.want("d1", str(tmp_path / "nothing"), waiting)
    collect(loads)
    assert waiting.heard[0]
    loads.forget("d1")
    loads.want("d1", folder, waiting)
    collect(loads)
    assert waiting.heard[1:] == [""]
    assert [*engine.list_adapters()] == ["d1"]
