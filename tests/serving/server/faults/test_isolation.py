"""Every stream is answered with the version of its adapter that it began with, whatever its neighbours are."""

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rotation import LOAD, Alone, Rotation
from servers import Served, serving, until
from tiny_models import random_adapter

ROOM = 8


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("root")


@pytest.fixture(scope="module")
def server(root: Path) -> Iterator[Served]:
    options = ("--max-loras", str(ROOM), "--max-lora-rank", "4", "--adapter-root", root)
    with serving(root.with_suffix(".log"), *options) as served:
        yield served


@pytest.mark.parametrize(
    ("num_adapters", "num_streams", "num_requests", "num_updates"),
    [
        pytest.param(60, 24, 100, 6, id="60 adapters"),
        pytest.param(2000, 64, 2400, 200, id="2,000 adapters", marks=pytest.mark.slow),
    ],
)
def test_vllm_47724_11077_sglang_23141_more_adapters_than_there_is_room_for(
    server: Served,
    root: Path,
    adapter_folder: Path,
    num_adapters: int,
    num_streams: int,
    num_requests: int,
    num_updates: int,
) -> None:
    """Adapters beyond the room take turns, base requests run beside them, and versions change under way."""
    noise = random.Random(0)
    rotation = Rotation(server, adapter_folder, root)
    names = [f"{num_adapters}-{number}" for number in range(num_adapters)]
    with ThreadPoolExecutor(4) as pool:
        for _ in pool.map(rotation.update, names):
            pass
    # Each at least once, one of ten without an adapter, and those that are updated more often.
    updated = noise.choices(names[: num_adapters // 10], k=num_updates)
    asked: list[str | None] = [*names, *updated, *updated]
    asked += [None if noise.random() < 0.1 else noise.choice(names) for _ in range(num_requests - len(asked))]
    noise.shuffle(asked)
    rotation.run(asked, num_streams=num_streams, updates=updated)
    until(server.is_idle)
    assert server.metric("verilora_adapter_loads_total") > num_adapters, "they took turns"
    assert server.metric("verilora_engine_restarts_total") == 0
    alone = Alone()
    assert rotation.wrong(alone) == []
    # Those that were updated answer with their last version, to the same prompt as before.
    for name in {*updated}:
        assert rotation.ask(name).text == alone.answer(rotation.versions[name][-1].folder)
    told = [alone.answer(one.folder) for versions in rotation.versions.values() for one in versions]
    assert len({*told}) > 0.9 * len(told), "what is told apart here differs"
    assert len(server.ask("GET", "/metrics")[1]) <= 200 * 1024


def test_an_adapter_of_a_higher_rank_than_is_allowed_is_refused(server: Served, root: Path) -> None:
    random_adapter(root / "rank-8", None, {"r": 8})
    status, error = server.ask("POST", LOAD, {"lora_name": "x", "lora_path": "rank-8"})
    assert status == 400
    assert error["error"]["message"].endswith("r: got 8, expected at most 4")
    assert server.ask("GET", "/v1/adapters/x")[1]["state"] == "failed"
