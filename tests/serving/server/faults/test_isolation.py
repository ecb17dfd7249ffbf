"""Every stream is answered with the version of its adapter that it began with, whatever its neighbours are."""

import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rotation import LOAD, Alone, Rotation
from servers import Served, until
from tiny_models import random_adapter


@pytest.mark.parametrize(
    ("num_adapters", "num_streams", "num_requests", "num_updates"),
    [
        pytest.param(60, 24, 100, 6, id="60 adapters"),
        pytest.param(2000, 64, 2400, 200, id="2,000 adapters", marks=pytest.mark.slow),
    ],
)
def test_vllm_47724_11077_sglang_23141_more_adapters_than_there_is_room_for(
    rotating: Served,
    root: Path,
    adapter_folder: Path,
    num_adapters: int,
    num_streams: int,
    num_requests: int,
    num_updates: int,
) -> None:
    """Adapters beyond the room take turns, base requests run beside them, and versions change under way."""
    noise = random.Random(0)
    rotation = Rotation(rotating, adapter_folder, root)
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
    until(rotating.is_idle)
    assert rotating.metric("verilora_adapter_loads_total") > num_adapters, "they took turns"
    assert rotating.metric("verilora_engine_restarts_total") == 0
    alone = Alone()
    assert rotation.wrong(alone) == []
    # Those that were updated answer with their last version, to the same prompt as before.
    for name in {*updated}:
        assert rotation.ask(name).text == alone.answer(rotation.versions[name][-1].folder)
    told = [alone.answer(one.folder) for versions in rotation.versions.values() for one in versions]
    assert len({*told}) > 0.9 * len(told), "what is told apart here differs"
    assert len(rotating.ask("GET", "/metrics")[1]) <= 200 * 1024


def test_an_adapter_of_a_higher_rank_than_is_allowed_is_refused(rotating: Served, root: Path) -> None:
    random_adapter(root / "rank-8", None, {"r": 8})
    status, error = rotating.ask("POST", LOAD, {"lora_name": "x", "lora_path": "rank-8"})
    assert status == 400
    assert error["error"]["message"].endswith("r: got 8, expected at most 4")
    assert rotating.ask("GET", "/v1/adapters/x")[1]["state"] == "failed"
