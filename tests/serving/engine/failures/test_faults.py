"""Adapters that are broken, change or vanish: who asked for them is told, and others go on."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from verilora.kernels.lora.peft_names import Place
from verilora.serving.engine.engine import Engine
from verilora.serving.memory import device_adapters, host_adapter
from verilora.serving.memory.adapter_weights import AdapterWeights, LowRank
from verilora.serving.requests.request import Finish, Output, Request
from verilora.serving.requests.sampling_params import SamplingParams
from verilora.specs.files.errors import InputError

from engines import Reference, engine_of, random_model, random_prompts, save_adapter
from listening import check_empty, drain

GREEDY = SamplingParams(temperature=0, max_tokens=8)
PROMPTS = random_prompts(12)
WEIGHTS = "adapter_model.safetensors"


@pytest.fixture(scope="module")
def model() -> Any:
    return random_model()


@pytest.fixture
def adapters(model: Any, tmp_path: Path) -> list[Path]:
    return [save_adapter(tmp_path / f"adapter{seed}", model, seed) for seed in range(4)]


@pytest.fixture(params=[False, True], ids=["contiguous", "paged"])
def is_paged(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def asked(number: int, adapter: str | None = None, **changes: Any) -> Request:
    return Request(prompt=PROMPTS[number], adapter=adapter, params=replace(GREEDY, **changes))


def check(folders: list[Path], requests: list[Request], outputs: list[list[Output]]) -> None:
    reference = Reference(random_model(), folders)
    for request, (output,) in zip(requests, outputs, strict=True):
        assert output.finish is Finish.LENGTH, output
        assert reference.follows(request.prompt, output.token_ids, request.adapter)


def edit(folder: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    tensors = load_file(folder / WEIGHTS)
    change(tensors)
    save_file(tensors, folder / WEIGHTS)


def truncate(folder: Path) -> None:
    content = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(content[: len(content) // 2])


def oversize_header(folder: Path) -> None:
    content = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes((2**60).to_bytes(8, "little") + content[8:])


def put_nan(folder: Path) -> None:
    edit(folder, lambda tensors: next(iter(tensors.values())).view(-1)[:1].fill_(torch.nan))


def reshape(folder: Path) -> None:
    def narrow(tensors: dict[str, torch.Tensor]) -> None:
        name = next(name for name in tensors if "lora_A" in name)
        tensors[name] = tensors[name][:, :-1].contiguous()

    edit(folder, narrow)


def link_out(folder: Path) -> None:
    outside = folder.parent / "outside.safetensors"
    shutil.move(folder / WEIGHTS, outside)
    (folder / WEIGHTS).symlink_to(outside)


def raise_rank(folder: Path) -> None:
    path = folder / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "r": 5}))


def be_for_another(folder: Path) -> None:
    save_adapter(folder, random_model(num_hidden_layers=3))


BREAKS = [truncate, oversize_header, put_nan, reshape, link_out, raise_rank, be_for_another, shutil.rmtree]


@pytest.mark.parametrize("spoil", BREAKS, ids=lambda spoil: spoil.__name__)
def test_one_that_is_broken_is_refused_and_the_name_stays(
    model: Any, adapters: list[Path], spoil: Callable[[Path], None]
) -> None:
    engine = engine_of(model)
    engine.add_adapter("adapter0", adapters[0])
    names = engine.list_adapters()
    spoil(adapters[1])
    for name in ("adapter0", "new"):
        with pytest.raises(InputError, match="adapter1"):
            engine.add_adapter(name, adapters[1])
    assert engine.list_adapters() == names
    requests = [asked(0, "adapter0")]
    check(adapters[:1], requests, engine.generate(requests))


def test_one_that_is_too_large_for_memory_is_refused_by_its_folder(model: Any, tmp_path: Path, is_paged: bool) -> None:
    folder = save_adapter(tmp_path / "wide", model, r=32)
    engine = engine_of(model, memory_bytes=2**15, is_paged=is_paged)
    with pytest.raises(InputError, match=r"wide: takes \d+ pages of memory, expected at most the pool's"):
        engine.add_adapter("wide", folder)
    assert engine.list_adapters() == {}


def test_one_of_too_high_a_rank_is_refused_by_its_folder_where_memory_is_paged(model: Any, tmp_path: Path) -> None:
    """The kernels' tables are made for `max_rank`; products over contiguous rows take any."""
    folder = save_adapter(tmp_path / "wide", model, r=32)
    engine = engine_of(model, max_rank=16, is_paged=True)
    with pytest.raises(InputError, match="wide: rank, got 32, expected at most the engine's max_rank 16"):
        engine.add_adapter("wide", folder)
    assert engine.list_adapters() == {}
    unbounded = engine_of(model, max_rank=16, is_paged=False)
    unbounded.add_adapter("wide", folder)
    requests = [asked(0, "wide")]
    check([folder], requests, unbounded.generate(requests))


@pytest.mark.parametrize(
    ("place", "shapes"),
    [
        ((0, "q"), ((2, 31), (64, 2))),
        ((0, "q"), ((2, 32), (64, 3))),
        ((2, "q"), ((2, 32), (64, 2))),
        ((0, "x"), ((2, 32), (64, 2))),
    ],
    ids=["width", "rank", "layer", "projection"],
)
def test_weights_in_memory_that_do_not_fit_are_refused_by_their_place(
    model: Any, is_paged: bool, place: Place, shapes: tuple[tuple[int, int], tuple[int, int]]
) -> None:
    engine = engine_of(model, is_paged=is_paged)
    down, up = map(torch.ones, shapes)
    with pytest.raises(InputError, match=rf"^odd: layer {place[0]} {place[1]}, got .*, expected "):
        engine.add_adapter("odd", AdapterWeights({place: LowRank(down, up, 1.0)}))
    assert engine.list_adapters() == {}


def change(folder: Path) -> None:
    edit(folder, lambda tensors: next(iter(tensors.values())).mul_(2))


@pytest.mark.parametrize("spoil", [change, *BREAKS], ids=lambda spoil: spoil.__name__)
def test_one_that_changes_before_it_is_loaded_ends_its_requests_alone(
    model: Any, adapters: list[Path], is_paged: bool, spoil: Callable[[Path], None]
) -> None:
    # There is room for one in host memory, so that the others are read again.
    engine = engine_of(model, host_bytes=1, is_paged=is_paged)
    for folder in adapters:
        engine.add_adapter(folder.name, folder)
    names = engine.list_adapters()
    spoil(adapters[1])
    good = [asked(number, name) for number, name in enumerate((None, "adapter0", "adapter2", "adapter3", None))]
    bad = [asked(number, "adapter1") for number in range(3)]
    outputs = engine.generate([*good[:3], *bad, *good[3:]])
    for (output,) in outputs[3:6]:
        assert output.finish is Finish.ERROR
        assert str(adapters[1]) in output.error
    check([adapters[0], *adapters[2:]], good, [*outputs[:3], *outputs[6:]])
    assert engine.list_adapters() == names
    drain(engine)
    check_empty(engine)


def test_one_that_cannot_be_made_ready_ends_its_requests_alone(
    model: Any, adapters: list[Path], is_paged: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What does not fit into host memory is read again, and made ready, when it is wanted.
    engine = engine_of(model, is_paged=is_paged, host_bytes=1)
    for folder in adapters[1::-1]:
        engine.add_adapter(folder.name, folder)
    bad_digest = engine.list_adapters()["adapter1"]

    def failing(weights: AdapterWeights, *args: Any, **kwargs: Any) -> Any:
        if weights.digest == bad_digest:
            raise MemoryError("no more")
        return plain(weights, *args, **kwargs)

    # What packs an adapter for a GPU, and what makes its products on a CPU.
    module, name = (device_adapters, "adapter_layout") if is_paged else (host_adapter, "host_adapter")
    plain = getattr(module, name)
    good = [asked(number, name) for number, name in enumerate((None, "adapter0", None))]
    bad = [asked(number, "adapter1", n=2) for number in range(3)]
    with monkeypatch.context() as patch:
        patch.setattr(module, name, failing)
        outputs = engine.generate([*good[:2], *bad, *good[2:]])
    for output in (one for answers in outputs[2:5] for one in answers):
        assert output.finish is Finish.ERROR
        assert output.error == f"{adapters[1]}: could not be loaded: MemoryError: no more"
    check(adapters[:1], good, [*outputs[:2], *outputs[5:]])
    requests = [asked(0, "adapter1")]
    check(adapters[:2], requests, engine.generate(requests))
    drain(engine)
    check_empty(engine)


def test_one_that_changed_is_read_once_for_all_that_wait(model: Any, adapters: list[Path]) -> None:
    engine = engine_of(model, host_bytes=1)
    for folder in adapters[:2]:
        engine.add_adapter(folder.name, folder)
    change(adapters[0])
    requests = [asked(number % 12, "adapter0", seed=number) for number in range(50)]
    outputs = engine.generate(requests)
    assert {output.finish for (output,) in outputs} == {Finish.ERROR}
    assert engine.counters().adapter_reads == 3
    # What was registered is found again once it is there again.
    edit(adapters[0], lambda tensors: next(iter(tensors.values())).div_(2))
    check(adapters[:1], requests[:1], engine.generate(requests[:1]))
    drain(engine)
    check_empty(engine)


def test_the_folder_that_was_named_last_is_read_again(model: Any, adapters: list[Path], tmp_path: Path) -> None:
    engine: Engine = engine_of(model, host_bytes=1)
    engine.add_adapter("adapter0", adapters[0])
    moved = shutil.copytree(adapters[0], tmp_path / "moved")
    engine.add_adapter("adapter0", moved)
    engine.add_adapter("adapter1", adapters[1])
    stood = shutil.move(adapters[0], tmp_path / "gone" / "adapter0")
    requests = [asked(0, "adapter0")]
    check([Path(stood)], requests, engine.generate(requests))
