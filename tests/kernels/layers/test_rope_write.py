"""The fused kernel against the launches that it replaces, bit by bit, and against their references."""

from dataclasses import dataclass, replace

import pytest
import torch
from torch.nn.functional import pad

from verilora.kernels.cache.cache_write import launch_cache_write
from verilora.kernels.cache.kv_pages import FORMATS, PAGE_SIZE, KVFormat, KVPages
from verilora.kernels.cache.write_step import WriteStep
from verilora.kernels.layers.rms_norm import launch_rms_norm
from verilora.kernels.layers.rope import launch_rope, rotary_table
from verilora.kernels.layers.rope_write import launch_rope_write, rope_write, rope_write_reference
from verilora.kernels.layers.rotation import HeadNorms, Rotation

from caches import poisoned_pages, same_bytes
from device_checks import assert_repeats, assert_replays, assert_same_bits, device_cases

# num_tokens, num_heads, num_kv_heads, head_dim, head_dim of the pages, rotated dims
SHAPES = {
    "one token": (1, 4, 1, 64, 64, 64),
    "63 tokens of odd heads": (63, 3, 1, 80, 128, 80),
    "129 tokens, no groups": (129, 1, 1, 32, 32, 32),
    "heads of 8": (5, 2, 1, 8, 32, 8),
    "heads of 96": (5, 4, 2, 96, 128, 96),
    "heads of 100": (5, 4, 2, 100, 128, 100),
    "heads of 128, more than a block": (4, 20, 10, 128, 128, 128),
    "heads of 256": (4, 6, 5, 256, 256, 256),
    "partly rotated": (5, 4, 2, 80, 128, 32),
}
LARGE = {
    "Llama-3.1-8B": (64, 32, 8, 128, 128, 128),
    "Qwen2.5-7B": (129, 28, 4, 128, 128, 128),
    "heads of 64": (63, 9, 3, 64, 64, 64),
    "heads of 80": (63, 32, 32, 80, 128, 80),
    "heads of 96": (5, 32, 8, 96, 128, 96),
    "heads of 100": (5, 32, 8, 100, 128, 100),
    "heads of 256": (65, 8, 2, 256, 256, 256),
    "one token": (1, 32, 8, 128, 128, 128),
}
WHOLE, NARROW = (7, 6, 3, 64, 64, 64), (4, 3, 1, 80, 128, 80)
EPS = 1e-6


@dataclass(frozen=True)
class Case:
    """The heads of a step, as slices of something wider, and empty pages for them."""

    step: WriteStep
    rotation: Rotation
    qkv: torch.Tensor
    pages: KVPages
    norms: HeadNorms | None

    def fresh(self) -> KVPages:
        """Return the same pages elsewhere."""
        return replace(self.pages, **{name: plane.clone() for name, plane in self.pages.planes().items()})


def case(
    shape: tuple[int, ...],
    dtype: torch.dtype = torch.float32,
    device: str = "cpu",
    *,
    has_norms: bool = False,
    format: KVFormat = "full",
    is_rotated: bool = False,
    seed: int = 0,
) -> Case:
    """Return a case in which one token has no slot, another no position, and a third neither."""
    num_tokens, num_heads, num_kv_heads, head_dim, page_dim, rotary_dim = shape
    generator = torch.Generator().manual_seed(seed)
    wide = torch.randn(num_tokens, num_heads + 2 * num_kv_heads + 1, head_dim, generator=generator)
    slots = torch.randperm(6 * PAGE_SIZE, generator=generator)[:num_tokens]
    positions = torch.randint(0, 4096, (num_tokens,), generator=generator)
    slots[1:2] = positions[2:3] = slots[3:4] = positions[3:4] = -1
    query_norm, key_norm = torch.randn(2, head_dim, generator=generator).to(device, dtype)
    frequencies = 10000.0 ** -(torch.arange(0, rotary_dim, 2, dtype=torch.float64) / rotary_dim)
    # With a scale position 0 turns nothing and yet changes a head, as one that has no position must not be.
    table = rotary_table(frequencies, 4096, scale=1.25)
    return Case(
        step=WriteStep(slots=slots.to(device)),
        rotation=Rotation(positions=positions.to(device), table=table.to(device)),
        qkv=wide.to(device, dtype)[:, :-1],
        pages=poisoned_pages(format, 6, num_kv_heads, page_dim, dtype=dtype, device=device, is_rotated=is_rotated),
        norms=HeadNorms(query=query_norm, key=key_norm, eps=EPS) if has_norms else None,
    )


def separate(one: Case, pages: KVPages) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what three or four launches make of the case."""
    num_kv_heads = pages.num_kv_heads
    num_heads = one.qkv.shape[1] - 2 * num_kv_heads
    query, keys, values = one.qkv.clone().split([num_heads, num_kv_heads, num_kv_heads], 1)
    if one.norms is not None:
        launch_rms_norm(query, one.norms.query, EPS, out=query)
        launch_rms_norm(keys, one.norms.key, EPS, out=keys)
    launch_rope(query, keys, one.rotation.positions, one.rotation.table)
    query, keys, values = (pad(heads, (0, pages.head_dim - heads.shape[2])) for heads in (query, keys, values))
    launch_cache_write(one.step, keys, values, pages)
    return query.contiguous(), keys.contiguous()


def check(one: Case) -> None:
    """Compare queries, keys and all pages, untouched slots included."""
    before, expected_pages, pages = one.qkv.clone(), one.fresh(), one.fresh()
    expected = separate(one, expected_pages)
    found = launch_rope_write(one.step, one.rotation, one.qkv, pages, norms=one.norms)
    assert_same_bits(found, expected)
    assert same_bytes(pages, expected_pages)
    assert torch.equal(one.qkv, before)


@pytest.mark.interpreter
@pytest.mark.parametrize(
    ("dtype", "has_norms"), [(torch.float32, False), (torch.float16, True)], ids=["fp32", "fp16 with norms"]
)
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_the_bits_are_those_of_separate_launches(shape: tuple[int, ...], dtype: torch.dtype, has_norms: bool) -> None:
    check(case(shape, dtype, has_norms=has_norms))


@pytest.mark.interpreter
@pytest.mark.parametrize("is_rotated", [False, True], ids=["plain", "rotated"])
@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("shape", [WHOLE, NARROW], ids=["64", "80 in 128"])
def test_pages_of_every_format_are_filled_alike(shape: tuple[int, ...], format: KVFormat, is_rotated: bool) -> None:
    check(case(shape, torch.float16, has_norms=True, format=format, is_rotated=is_rotated))


@pytest.mark.interpreter
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=["fp32", "fp16"])
@pytest.mark.parametrize("shape", [WHOLE, NARROW], ids=["64", "80 in 128"])
def test_the_bits_are_those_of_the_reference(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    one = case(shape, dtype)
    expected_pages, pages = one.fresh(), one.fresh()
    expected = rope_write_reference(one.step, one.rotation, one.qkv, expected_pages)
    assert_same_bits(launch_rope_write(one.step, one.rotation, one.qkv, pages), expected)
    assert same_bytes(pages, expected_pages)


@pytest.mark.interpreter
@pytest.mark.parametrize("shape", [WHOLE, NARROW], ids=["64", "80 in 128"])
def test_normalised_heads_are_those_of_the_reference(shape: tuple[int, ...]) -> None:
    """Up to the order of a sum, of which torch has one of its own."""
    one = case(shape, has_norms=True)
    expected = rope_write_reference(one.step, one.rotation, one.qkv, one.fresh(), norms=one.norms)
    found = launch_rope_write(one.step, one.rotation, one.qkv, one.fresh(), norms=one.norms)
    torch.testing.assert_close(found, expected, rtol=0, atol=4e-6)


@pytest.mark.interpreter
def test_heads_have_slots_of_their_own() -> None:
    one = case(WHOLE)
    slots = torch.stack([one.step.slots, one.step.slots.roll(1), one.step.slots.flip(0)], 1).int()
    check(replace(one, step=WriteStep(slots=slots)))


def test_the_reference_pads_what_it_returns_and_writes() -> None:
    one = case(SHAPES["heads of 100"], has_norms=True)
    before = one.qkv.clone()
    query, keys = rope_write(one.step, one.rotation, one.qkv, one.pages, norms=one.norms)
    assert query.is_contiguous()
    assert (query.shape, keys.shape) == ((5, 4, 128), (5, 2, 128))
    assert not query[..., 100:].any()
    assert torch.equal(one.qkv, before)
    slot = int(one.step.slots[0])
    stored = one.pages.keys[slot // PAGE_SIZE, :, slot % PAGE_SIZE]
    assert torch.equal(stored, keys[0])
    assert torch.equal(one.pages.values[slot // PAGE_SIZE, :, slot % PAGE_SIZE, :100], before[0, 6:])


def test_what_does_not_fit_is_refused() -> None:
    one = case(WHOLE, has_norms=True)
    given = {"step": one.step, "rotation": one.rotation, "qkv": one.qkv, "pages": one.pages, "norms": one.norms}
    side = poisoned_pages("full", 6, 3, 64, has_side_planes=True)
    ring = case((6, *WHOLE[1:]))
    for change, message in (
        ({"qkv": one.qkv[:, :6]}, "qkv, got"),
        ({"qkv": one.qkv.transpose(1, 2)}, "qkv, got"),
        ({"qkv": one.qkv.half()}, r"pages, got torch.float32"),
        ({"rotation": ring.rotation}, r"positions, got \(6,\)"),
        ({"step": WriteStep(slots=torch.zeros(7, 2).long())}, r"slots, got \(7, 2\)"),
        ({"pages": side}, "pages, got side planes"),
        ({"norms": HeadNorms(query=torch.ones(32), key=torch.ones(32), eps=EPS)}, "head norms, got"),
    ):
        for run in (rope_write, launch_rope_write):
            with pytest.raises(ValueError, match=message):
                run(**{**given, **change})


@pytest.mark.gpu
@pytest.mark.parametrize("has_norms", [False, True], ids=["plain", "norms"])
@pytest.mark.parametrize(("shape", "dtype"), device_cases(LARGE))
def test_real_shapes_on_a_device(shape: tuple[int, ...], dtype: torch.dtype, has_norms: bool) -> None:
    check(case(shape, dtype, "cuda", has_norms=has_norms))


@pytest.mark.gpu
@pytest.mark.parametrize("is_rotated", [False, True], ids=["plain", "rotated"])
@pytest.mark.parametrize("format", FORMATS)
def test_every_format_on_a_device(format: KVFormat, is_rotated: bool) -> None:
    check(case(LARGE["Llama-3.1-8B"], torch.bfloat16, "cuda", has_norms=True, format=format, is_rotated=is_rotated))


@pytest.mark.gpu
def test_bits_on_a_device() -> None:
    one = case(LARGE["Llama-3.1-8B"], torch.bfloat16, "cuda", has_norms=True)
    inputs = [one.qkv, one.step.slots, one.rotation.positions]

    def run() -> list[torch.Tensor]:
        query, keys = rope_write(one.step, one.rotation, one.qkv, one.pages, norms=one.norms)
        return [query, keys, *one.pages.planes().values()]

    assert_repeats(run)
    query, keys, *_ = run()
    for i in (0, 2, 63):
        alone = replace(one.rotation, positions=one.rotation.positions[i : i + 1])
        step = WriteStep(slots=one.step.slots[i : i + 1])
        found = rope_write(step, alone, one.qkv[i : i + 1], one.fresh(), norms=one.norms)
        assert_same_bits(found, [query[i : i + 1], keys[i : i + 1]])
    other = case(LARGE["Llama-3.1-8B"], torch.bfloat16, "cuda", has_norms=True, seed=1)
    assert_replays(run, inputs, [other.qkv, other.step.slots, other.rotation.positions])
