"""SGMV against dense LoRA, in both phases."""

from typing import Any

import pytest
import torch

from verilora.kernels.cache.kv_pages import kv_page_bytes
from verilora.kernels.lora.fused_projections import FusedProjections
from verilora.kernels.lora.lora import (
    expand,
    expand_reference,
    launch_expand,
    launch_sgmv,
    launch_shrink,
    sgmv,
    sgmv_reference,
    shrink,
    shrink_reference,
)
from verilora.kernels.lora.lora_batch import decode_items, prefill_items
from verilora.kernels.lora.lora_step import LoraStep
from verilora.kernels.lora.page_layout import PageLayout
from verilora.kernels.lora.sgmv_config import Phase

from adapters import Adapters

# Odd on purpose: cuts that are not full, a split that is not, rows of pages of several ranks.
ODD = {"q": (600, 130), "k": (600, 33), "v": (600, 64), "o": (80, 100), "gate": (600, 48), "up": (600, 48)}
ODD_RANKS = [8, 16, 3, 40]
QKV, GATE_UP = ("q", "k", "v"), ("gate", "up")
LLAMA_8B = {
    **{"q": (4096, 4096), "k": (4096, 1024), "v": (4096, 1024), "o": (4096, 4096)},
    **{"gate": (4096, 14336), "up": (4096, 14336), "down": (14336, 4096)},
}
FUSED = [QKV, ("o",), GATE_UP, ("down",)]
TOLERANCE = {torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 1e-2}
# What each row takes: -1 is the base model or padding.
POPULARITY = {
    "empty": [],
    "one row": [2],
    "no adapter": [-1, -1, -1],
    "identical": [1] * 7,
    "distinct": [0, 1, 2, 3],
    "skewed, with base rows between": [-1, 0, 0, 0, 0, 3, -1, 2, -1],
}
SEGMENTS = {
    "no row": [(0, 0), (-1, 0)],
    "one row": [(1, 1)],
    "63, 129 and empty": [(3, 63), (0, 0), (-1, 5), (2, 129), (1, 1), (-1, 0)],
}


def of_rows(segments: list[tuple[int, int]]) -> list[int]:
    return [slot for slot, length in segments for _ in range(length)]


def items_of(adapters: Adapters, segments: list[tuple[int, int]]) -> torch.Tensor:
    device = adapters.records.device
    ids = torch.tensor([slot for slot, _ in segments], dtype=torch.int32, device=device)
    starts = torch.tensor([0, *(length for _, length in segments)], device=device).cumsum(0).int()
    return prefill_items(adapters.records, ids, starts, num_rows=sum(length for _, length in segments))


def decode_items_of(adapters: Adapters, ids: list[int]) -> torch.Tensor:
    return decode_items(adapters.records, torch.tensor(ids, dtype=torch.int32, device=adapters.records.device))


def batch(adapters: Adapters, projections: tuple[str, ...], num_rows: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return x and the base model's output, both slices of something wider."""
    generator = torch.Generator().manual_seed(num_rows)
    dtype, device = adapters.memory.pages.dtype, adapters.memory.pool.device
    wide, out = adapters.widths[projections[0]][0], sum(adapters.widths[name][1] for name in projections)
    x, output = (torch.randn(num_rows, 16 + width, generator=generator).to(device, dtype) for width in (wide, out))
    return x[:, :wide], output[:, :out]


def relative_error(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found.double().cpu() - expected).norm() / expected.norm().clamp(min=1e-12))


def fused(adapters: Adapters, names: tuple[str, ...]) -> FusedProjections:
    return FusedProjections(names, tuple(adapters.widths[name][1] for name in names))


@pytest.fixture(params=[torch.float32, torch.float16], ids=["fp32", "fp16"])
def adapters(request: pytest.FixtureRequest) -> Adapters:
    pages = PageLayout(page_bytes=4096 * request.param.itemsize, tile_width=128, dtype=request.param)
    return Adapters(pages, ODD_RANKS, ODD, lacking={1: {"k", "gate"}, 2: {"o"}})


def assert_added(
    adapters: Adapters,
    ids: list[int],
    items: torch.Tensor,
    phase: Phase,
    add: Any,
    *,
    names: tuple[str, ...],
    layer: int,
) -> None:
    """Check the rows that take an adapter, and that all others keep their bits, the space beside the output too."""
    x, output = batch(adapters, names, len(ids))
    before, beside = output.clone(), output._base.clone()
    step = LoraStep(items=items, memory=adapters.memory, phase=phase)
    add(step, output, x, layer=layer, projections=fused(adapters, names))
    expected = adapters.expected(before, x, ids, layer=layer, projections=names)
    assert relative_error(output, expected) <= TOLERANCE[x.dtype] if ids else output.numel() == 0
    base_rows = [row for row, slot in enumerate(ids) if slot < 0]
    assert torch.equal(output[base_rows], before[base_rows])
    assert torch.equal(output._base[:, output.shape[1] :], beside[:, output.shape[1] :])


@pytest.mark.interpreter
@pytest.mark.parametrize("projections", [QKV, ("o",), GATE_UP], ids="-".join)
@pytest.mark.parametrize("ids", POPULARITY.values(), ids=POPULARITY)
def test_decode_adds_the_adapters(adapters: Adapters, ids: list[int], projections: tuple[str, ...]) -> None:
    items = decode_items_of(adapters, ids)
    assert_added(adapters, ids, items, "decode", launch_sgmv, names=projections, layer=1)


@pytest.mark.interpreter
@pytest.mark.parametrize("projections", [QKV, ("o",)], ids="-".join)
@pytest.mark.parametrize("segments", SEGMENTS.values(), ids=SEGMENTS)
def test_prefill_adds_the_adapters(
    adapters: Adapters, segments: list[tuple[int, int]], projections: tuple[str, ...]
) -> None:
    items = items_of(adapters, segments)
    assert_added(adapters, of_rows(segments), items, "prefill", launch_sgmv, names=projections, layer=1)


@pytest.mark.parametrize("projections", [QKV, ("o",), GATE_UP], ids="-".join)
@pytest.mark.parametrize("ids", POPULARITY.values(), ids=POPULARITY)
def test_the_reference_adds_the_adapters(adapters: Adapters, ids: list[int], projections: tuple[str, ...]) -> None:
    items = decode_items_of(adapters, ids)
    assert_added(adapters, ids, items, "decode", sgmv_reference, names=projections, layer=0)


@pytest.mark.parametrize("segments", SEGMENTS.values(), ids=SEGMENTS)
def test_on_a_cpu_sgmv_is_the_reference(adapters: Adapters, segments: list[tuple[int, int]]) -> None:
    items = items_of(adapters, segments)
    assert_added(adapters, of_rows(segments), items, "prefill", sgmv, names=QKV, layer=1)


def halves_of(adapters: Adapters, phase: Phase) -> tuple[LoraStep, list[int]]:
    """Return a step in which some rows have no adapter, and what each row takes."""
    segments = [(3, 5), (-1, 2), (1, 3), (0, 1), (2, 2)]
    ids = of_rows(segments)
    items = decode_items_of(adapters, ids) if phase == "decode" else items_of(adapters, segments)
    return LoraStep(items=items, memory=adapters.memory, phase=phase), ids


@pytest.mark.interpreter
@pytest.mark.parametrize("phase", ["decode", "prefill"])
def test_the_middle_is_the_product_with_a(adapters: Adapters, phase: Phase) -> None:
    """Of the reference and of the kernels, once it is summed over the splits."""
    step, ids = halves_of(adapters, phase)
    x, _ = batch(adapters, QKV, len(ids))
    for run in (shrink_reference, launch_shrink):
        middle = run(step, x, layer=1, projections=fused(adapters, QKV))
        assert middle.shape[3] == 48, "the highest rank, rounded up"
        for row, slot in enumerate(ids):
            for i_projection, name in enumerate(QKV):
                if slot >= 0 and (1, name) in adapters.weights[slot]:
                    down = adapters.weights[slot][1, name][0].double()
                    found = middle[row, i_projection, :, : ODD_RANKS[slot]].sum(0)
                    assert relative_error(found, x[row].double() @ down.T) <= TOLERANCE[x.dtype]


@pytest.mark.interpreter
@pytest.mark.parametrize("phase", ["decode", "prefill"])
def test_halves_apart_have_the_bits_of_both_together(adapters: Adapters, phase: Phase) -> None:
    """With a copy between them, as a gathered middle is, and what lies behind the items overwritten."""
    step, ids = halves_of(adapters, phase)
    for run_shrink, run_expand, both in (
        (shrink_reference, expand_reference, sgmv_reference),
        (launch_shrink, launch_expand, launch_sgmv),
    ):
        x, output = batch(adapters, QKV, len(ids))
        whole, apart = output.clone(), output.clone()
        both(step, whole, x, layer=1, projections=fused(adapters, QKV))
        middle = run_shrink(step, x, layer=1, projections=fused(adapters, QKV)).clone()
        middle[[row for row, slot in enumerate(ids) if slot < 0]] = torch.nan
        run_expand(step, middle, apart, layer=1, projections=fused(adapters, QKV))
        assert torch.equal(apart, whole)
        assert not torch.equal(apart, output)


def test_a_middle_that_does_not_fit_is_refused(adapters: Adapters) -> None:
    where = {"layer": 1, "projections": fused(adapters, QKV)}
    for phase in ("decode", "prefill"):
        step, ids = halves_of(adapters, phase)
        x, output = batch(adapters, QKV, len(ids))
        middle = shrink(step, x, **where)
        expand(step, middle, output, **where)
        for wrong, message in (
            (middle[..., :16], "middle, got"),
            (middle[:, :2], "middle, got"),
            (middle[:, :, 0], "middle, got"),
            (middle.double(), "types, got middle"),
            (middle.expand(-1, -1, 2, -1), "strides, got middle" if phase == "decode" else "middle, got"),
            (middle[1:], "output, got"),
        ):
            for run in (expand_reference, launch_expand):
                with pytest.raises(ValueError, match=message):
                    run(step, wrong, output, **where)
        with pytest.raises(ValueError, match="widths of k, got 64 columns"):
            expand(step, middle, output, layer=1, projections=FusedProjections(QKV, (130, 64, 33)))
        with pytest.raises(ValueError, match="layer, got 2"):
            expand(step, middle, output, layer=2, projections=fused(adapters, QKV))


@pytest.mark.interpreter
def test_a_mixed_step_is_two_launches_over_disjoint_rows(adapters: Adapters) -> None:
    prefill, decode = [(2, 65), (0, 3)], [1, -1, 3]
    ids = of_rows(prefill) + decode
    x, output = batch(adapters, QKV, len(ids))
    expected = adapters.expected(output, x, ids, layer=0, projections=QKV)
    tail = torch.tensor(decode, dtype=torch.int32)
    parts: dict[Phase, torch.Tensor] = {
        "prefill": items_of(adapters, prefill),
        "decode": decode_items(adapters.records, tail, 68),
    }
    for phase, items in parts.items():
        step = LoraStep(items=items, memory=adapters.memory, phase=phase)
        launch_sgmv(step, output, x, layer=0, projections=fused(adapters, QKV))
    assert relative_error(output, expected) <= TOLERANCE[x.dtype]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"projections": FusedProjections(("q", "k"), (130, 33))}, "output, got"),
        ({"x": torch.zeros(2, 600, dtype=torch.float64)}, "types, got"),
        ({"x": torch.zeros(600, 2).T}, "strides, got"),
        ({"layer": 2}, "layer, got 2, expected 0 to 1"),
        ({"layer": -1}, "layer, got -1, expected 0 to 1"),
        ({"x": torch.zeros(2, 599)}, r"widths of q, got x \(2, 599\) to 130, expected \(600, 130\)"),
        ({"x": torch.zeros(600)}, r"widths of q, got x \(600,\) to 130, expected \(600, 130\)"),
        (
            {"projections": FusedProjections(("q", "k", "v"), (130, 64, 33))},
            r"widths of k, got x \(2, 600\) to 64, expected \(600, 33\)",
        ),
        (
            {"projections": FusedProjections(("up", "down"), (48, 179))},
            r"widths of down, got x \(2, 600\) to 179, expected none",
        ),
    ],
    ids=[
        "output",
        "types",
        "strides",
        "layer",
        "negative layer",
        "width of x",
        "vector",
        "widths",
        "no such projection",
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, object], message: str) -> None:
    adapters = Adapters(PageLayout(page_bytes=8192, tile_width=64, dtype=torch.float32), [8], ODD)
    step = LoraStep(items=decode_items_of(adapters, [0, 0]), memory=adapters.memory, phase="decode")
    fitting = {"output": torch.zeros(2, 227), "x": torch.zeros(2, 600), "projections": fused(adapters, QKV), "layer": 0}
    sgmv(step, **fitting)
    with pytest.raises(ValueError, match=message):
        sgmv(step, **{**fitting, **change})


# On a GPU: real shapes.
GPU_RANKS = [8, 16, 32, 64, 128, 16, 8, 24]


@pytest.fixture(scope="module", params=[torch.bfloat16, torch.float16], ids=["bf16", "fp16"])
def real(request: pytest.FixtureRequest) -> Adapters:
    pages = PageLayout(page_bytes=kv_page_bytes("full", 8, 128, request.param), dtype=request.param)
    return Adapters(pages, GPU_RANKS, LLAMA_8B, num_layers=1, device="cuda")


def added(
    real: Adapters, x: torch.Tensor, output: torch.Tensor, items: torch.Tensor, names: tuple[str, ...], phase: Phase
) -> torch.Tensor:
    result, step = output.clone(), LoraStep(items=items, memory=real.memory, phase=phase)
    sgmv(step, result, x, layer=0, projections=fused(real, names))
    return result


def cases(real: Adapters) -> list[tuple[Phase, list[int], torch.Tensor]]:
    rows = [slot % 9 - 1 for slot in range(33)]
    segments = [(7, 1), (4, 63), (-1, 10), (3, 129), (0, 64), (1, 0), (2, 5), (4, 31)]
    return [
        ("decode", rows, decode_items_of(real, rows)),
        ("prefill", of_rows(segments), items_of(real, segments)),
    ]


@pytest.mark.gpu
@pytest.mark.parametrize("names", FUSED, ids="-".join)
def test_real_shapes_match_and_repeat_bit_by_bit(real: Adapters, names: tuple[str, ...]) -> None:
    for phase, ids, items in cases(real):
        x, output = batch(real, names, len(ids))
        first = added(real, x, output, items, names, phase)
        expected = real.expected(output, x, ids, layer=0, projections=names)
        assert relative_error(first, expected) <= TOLERANCE[x.dtype]
        base_rows = [row for row, slot in enumerate(ids) if slot < 0]
        assert torch.equal(first[base_rows], output[base_rows])
        assert all(torch.equal(added(real, x, output, items, names, phase), first) for _ in range(100))


@pytest.mark.gpu
@pytest.mark.parametrize("names", FUSED, ids="-".join)
def test_a_row_has_the_same_bits_alone_and_in_any_batch(real: Adapters, names: tuple[str, ...]) -> None:
    for phase, ids, items in cases(real):
        x, output = batch(real, names, len(ids))
        whole = added(real, x, output, items, names, phase)
        for row in range(0, len(ids), 7):
            one = decode_items_of(real, [ids[row]]) if phase == "decode" else items_of(real, [(ids[row], 1)])
            alone = added(real, x[row : row + 1], output[row : row + 1], one, names, phase)
            assert torch.equal(alone[0], whole[row])


@pytest.mark.gpu
@pytest.mark.parametrize("names", FUSED, ids="-".join)
@pytest.mark.parametrize("phase", ["decode", "prefill"])
def test_a_captured_graph_replays_with_other_contents(real: Adapters, names: tuple[str, ...], phase: Phase) -> None:
    (_, first_ids, first), (_, segments, chunks) = cases(real)
    items = (first if phase == "decode" else chunks).clone()
    x, output = batch(real, names, len(first_ids) if phase == "decode" else len(segments))
    static_x, static_output, result = x.clone(), output.clone(), torch.empty_like(output)

    step = LoraStep(items=items, memory=real.memory, phase=phase)

    def run() -> None:
        result.copy_(static_output)
        sgmv(step, result, static_x, layer=0, projections=fused(real, names))

    run()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    static_x.copy_(x.flip(0))
    static_output.copy_(output.flip(1))
    if phase == "decode":
        # Other adapters, other ranks, fewer live rows.
        items.copy_(decode_items_of(real, [7 - row % 8 if row < 20 else -1 for row in range(len(first_ids))]))
    else:
        shorter = items_of(real, [(3, 70), (0, 1), (-1, 7), (6, 11)])
        items.zero_()
        items[: len(shorter)].copy_(shorter)
    graph.replay()
    torch.cuda.synchronize()
    assert torch.equal(result, added(real, static_x, static_output, items, names, phase))


@pytest.mark.gpu
@pytest.mark.parametrize("names", FUSED, ids="-".join)
def test_halves_apart_have_the_bits_of_both_together_on_a_device(real: Adapters, names: tuple[str, ...]) -> None:
    """Though another kernel runs between them, behind which expand may start early."""
    for phase, ids, items in cases(real):
        x, output = batch(real, names, len(ids))
        step, where = LoraStep(items=items, memory=real.memory, phase=phase), {"projections": fused(real, names)}
        apart = output.clone()
        expand(step, shrink(step, x, layer=0, **where).clone(), apart, layer=0, **where)
        assert torch.equal(apart, added(real, x, output, items, names, phase))
