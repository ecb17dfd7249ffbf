"""Adapters that host memory let go of are read again while other requests run."""

from pathlib import Path
from threading import Event
from typing import Any

import pytest

from verilora.serving.memory.adapter_store import MAX_READS
from verilora.serving.requests.request import Finish, Request
from verilora.serving.requests.sampling_params import SamplingParams

from engines import Reference, engine_of, random_model, save_adapter
from listening import Heard, check_empty, drain

PARAMS = SamplingParams(temperature=0, max_tokens=6)


@pytest.fixture(scope="module")
def model() -> Any:
    return random_model(num_hidden_layers=1)


@pytest.fixture(scope="module")
def folders(model: Any, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("adapters")
    return [save_adapter(folder / f"adapter{seed}", model, seed) for seed in range(2 * MAX_READS)]


@pytest.mark.parametrize("is_paged", [False, True], ids=["contiguous", "paged"])
def test_others_run_while_one_is_read(
    model: Any, folders: list[Path], is_paged: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = engine_of(model, is_paged=is_paged, host_bytes=1)
    for folder in folders[:2]:
        engine.add_adapter(folder.name, folder)
    adapters, may_read = engine._memory.adapters, Event()
    read = adapters.read
    monkeypatch.setattr(adapters, "read", lambda folder: may_read.wait(60) and read(folder))
    heard = Heard()
    (cold,) = engine.submit(Request(prompt=(1, 2), adapter="adapter0", params=PARAMS), heard)
    # What is there, and what takes no adapter, is asked for later and is answered first.
    others = [
        engine.submit(Request(prompt=(3, number), adapter=name, params=PARAMS), heard)[0]
        for number, name in enumerate(("adapter1", None, None))
    ]
    while len(heard.outputs) < len(others):
        assert engine.step()
    assert sorted(heard.outputs) == others
    may_read.set()
    while engine.step():
        pass
    assert Reference(random_model(num_hidden_layers=1), folders[:1]).follows(
        (1, 2), heard.outputs[cold].token_ids, "adapter0"
    )
    check_empty(engine)
    engine.close()


def test_many_take_turns_in_little_host_memory(model: Any, folders: list[Path]) -> None:
    engine = engine_of(model, host_bytes=1, max_loaded=3)
    for folder in folders:
        engine.add_adapter(folder.name, folder)
    requests = [
        Request(prompt=(number,), adapter=folders[number * 5 % len(folders)].name, params=PARAMS)
        for number in range(40)
    ]
    outputs = engine.generate(requests)
    assert {output.finish for (output,) in outputs} == {Finish.LENGTH}
    reference = Reference(random_model(num_hidden_layers=1), folders)
    for request, (output,) in zip(requests, outputs, strict=True):
        assert reference.follows(request.prompt, output.token_ids, request.adapter)
    # At most those that were read for someone, and the last, are kept.
    kept = [version for version in engine._memory.adapters._versions.values() if version.copy is not None]
    assert len(kept) <= MAX_READS + 1
    drain(engine)
    check_empty(engine)
    engine.close()


def test_one_that_is_removed_while_it_is_read_leaves_nothing(
    model: Any, folders: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = engine_of(model, is_paged=True, host_bytes=1)
    for folder in folders[:2]:
        engine.add_adapter(folder.name, folder)
    adapters, may_read = engine._memory.adapters, Event()
    read = adapters.read
    monkeypatch.setattr(adapters, "read", lambda folder: may_read.wait(60) and read(folder))
    heard = Heard()
    (cold,) = engine.submit(Request(prompt=(1,), adapter="adapter0", params=PARAMS), heard)
    engine.step()
    assert engine.cancel(cold)
    engine.remove_adapter("adapter0")
    may_read.set()
    engine.close()
    assert not adapters.is_reading
    assert "adapter0" not in engine.list_adapters()
    assert len(adapters._versions) == 1
    check_empty(engine)
