"""Many short requests, and all that can happen to them: each ends with tokens or a clear error; nothing is left."""

import random
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from verilora.serving.memory.adapter_store import UnknownAdapter
from verilora.serving.requests.request import Finish, Request
from verilora.serving.requests.sampling_params import SamplingParams
from verilora.specs.files.errors import InputError

from engines import engine_of, random_model, save_adapter
from listening import Heard, check_empty, drain

ERRORS = (
    "logits, got some that are not finite",
    "token, got none that may follow",
    "grammar, got no token that may follow",
    "has changed since it was registered",
    "got nothing there, expected a model's or an adapter's folder",
    "its first token was not to be had in",
)


@pytest.fixture(scope="module")
def model() -> Any:
    return random_model(num_hidden_layers=1)


@pytest.fixture
def folders(model: Any, tmp_path: Path) -> dict[str, Path]:
    """Adapters to be used, one that overflows where it is used, one that changes and one that vanishes."""
    names = ("plain", "other", "huge", "changing", "vanishing")
    found = {name: save_adapter(tmp_path / name, model, seed) for seed, name in enumerate(names)}
    scale(found["huge"], 1e18)
    return found


def scale(folder: Path, factor: float) -> None:
    path = folder / "adapter_model.safetensors"
    save_file({name: tensor * factor for name, tensor in load_file(path).items()}, path)


def churn(model: Any, folders: dict[str, Path], num_requests: int, *, seed: int = 0, **where: Any) -> Counter[str]:
    """Serve so many sequences and return how they ended; asserts that all did, and that nothing is left."""
    draw = random.Random(seed)
    # One adapter in host memory and two with pages, so that they come and go.
    engine = engine_of(model, **{"memory_bytes": 2**16, "max_loaded": 2, "max_rows": 16, "host_bytes": 1, **where})
    for name in ("plain", "other", "huge", "vanishing", "changing"):
        engine.add_adapter(name, folders[name])
    scale(folders["changing"], 2.0)
    shutil.rmtree(folders["vanishing"])
    heard, ends, asked = Heard(), Counter[str](), list[int]()
    while len(asked) < num_requests:
        for _ in range(draw.choice([0, 1, 1, 8, 40])):
            names = [None, None, None, "plain", "plain", "other", "huge", "changing", "vanishing"]
            params = SamplingParams(
                max_tokens=draw.randint(1, 8), seed=draw.randrange(2**40), n=draw.choice([1] * 5 + [4])
            )
            if draw.random() < 0.02:
                params = replace(params, banned_ids=frozenset(range(160)))
            request = Request(
                prompt=tuple(draw.randrange(8) for _ in range(draw.choice([1, 2, 5, 30, 61]))),
                adapter=draw.choice(names),
                tenant=draw.choice("xyz"),
                deadline=draw.choice([None, None, None, 1e-9, 1000.0]),
                params=params,
            )
            try:
                asked += engine.submit(request, heard)
            except UnknownAdapter:
                ends["unknown"] += 1
        if draw.random() < 0.3 and asked:
            engine.cancel(draw.choice(asked[-40:]))
        if draw.random() < 0.05:
            engine.add_adapter("other", folders[draw.choice(["plain", "other"])])
        if draw.random() < 0.05 and "other" in engine.list_adapters():
            engine.remove_adapter("other")
        if draw.random() < 0.02:
            with pytest.raises(InputError):
                engine.add_adapter("plain", folders["vanishing"])
        for _ in range(draw.choice([1, 1, 4])):
            engine.step()
    drain(engine, 20 * num_requests)
    check_empty(engine)
    assert not engine._scheduler.waiting._passed
    assert not engine._scheduler.waiting._deadlines._waiting
    assert not engine._runner._swapped
    assert sorted(heard.outputs) == asked, "something is lost"
    spoilt = 0
    for output in heard.outputs.values():
        spoilt += output.error.startswith(ERRORS[0])
        ends[output.finish] += 1
        if output.finish is Finish.LENGTH:
            assert not output.error
        elif output.finish is not Finish.CANCELLED:
            assert any(error in output.error for error in ERRORS), output.error
    assert spoilt > num_requests // 100
    assert engine.counters().num_preemptions > 0
    return ends


@pytest.mark.parametrize("is_paged", [False, True], ids=["contiguous", "paged"])
def test_a_thousand(model: Any, folders: dict[str, Path], is_paged: bool) -> None:
    ends = churn(model, folders, 1000, is_paged=is_paged)
    assert min(ends[end] for end in (*Finish, "unknown") if end is not Finish.STOP) > 3, ends


@pytest.mark.slow
def test_ten_thousand(model: Any, folders: dict[str, Path]) -> None:
    ends = churn(model, folders, 10_000, is_paged=False, seed=1)
    assert min(ends[end] for end in (*Finish, "unknown") if end is not Finish.STOP) > 30, ends


@pytest.mark.gpu
@pytest.mark.parametrize(("num_requests", "memory_bytes"), [(2000, 2**18), (150, 2**17)])
def test_on_a_gpu(folders: dict[str, Path], num_requests: int, memory_bytes: int) -> None:
    """With as many, and with so few that a sanitizer can watch each access to memory."""
    wide = random_model(num_hidden_layers=1, hidden_size=256, head_dim=64).bfloat16()
    for seed, name in enumerate(folders):
        folders[name] = save_adapter(folders[name].with_name(f"wide {name}"), wide, seed)
    scale(folders["huge"], 1e18)
    where = {"is_paged": True, "device": "cuda", "memory_bytes": memory_bytes}
    ends = churn(wide.to("cuda"), folders, num_requests, **where)
    assert ends[Finish.LENGTH] > num_requests // 4, ends
