"""Forbidden tokens, against a loop over bits."""

import pytest
import torch

from verilora.kernels.tokens.token_bitmask import (
    apply_token_bitmask,
    apply_token_bitmask_reference,
    launch_apply_token_bitmask,
    pack_bitmask,
    unpack_bitmask,
)

from device_checks import assert_repeats, assert_replays, assert_same_bits, device_cases

SHAPES = [
    pytest.param((1, 1), id="one token"),
    pytest.param((3, 63), id="a word and 31 bits"),
    pytest.param((5, 129), id="odd"),
    pytest.param((2, 5001), id="several blocks"),
]
LARGE = {f"{vocab_size}": (64, vocab_size) for vocab_size in (32000, 128256, 151936)}


def inputs(
    shape: tuple[int, int], dtype: torch.dtype, device: str = "cpu", seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return logits, packed masks and each row's mask; the second row has none."""
    num_rows, vocab_size = shape
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(shape, generator=generator)
    allowed = torch.rand(num_rows, vocab_size, generator=generator) < 0.3
    mask_ids = torch.randperm(num_rows, generator=generator).int()
    mask_ids[1:2] = -1
    return logits.to(device, dtype), pack_bitmask(allowed).to(device), mask_ids.to(device)


def exact(logits: torch.Tensor, bitmask: torch.Tensor, mask_ids: torch.Tensor) -> torch.Tensor:
    expected = logits.clone()
    words = bitmask.tolist()
    for i, mask in enumerate(mask_ids.tolist()):
        for token in range(logits.shape[1]):
            if mask >= 0 and not words[mask][token // 32] >> (token % 32) & 1:
                expected[i, token] = float("-inf")
    return expected


def test_bits_are_packed_lowest_first() -> None:
    allowed = torch.zeros(1, 70, dtype=torch.bool)
    allowed[0, [0, 2, 31, 33, 69]] = True
    assert pack_bitmask(allowed).tolist() == [[5 - 2**31, 2, 32]]
    assert torch.equal(unpack_bitmask(pack_bitmask(allowed), 70), allowed)


@pytest.mark.interpreter
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("shape", SHAPES)
def test_forbidden_tokens_are_forbidden(shape: tuple[int, int], dtype: torch.dtype) -> None:
    logits, bitmask, mask_ids = inputs(shape, dtype)
    expected = exact(logits, bitmask, mask_ids)
    assert torch.equal(apply_token_bitmask_reference(logits.clone(), bitmask, mask_ids), expected)
    assert torch.equal(launch_apply_token_bitmask(logits, bitmask, mask_ids), expected)


@pytest.mark.interpreter
def test_what_lies_between_rows_is_left_alone() -> None:
    logits, bitmask, mask_ids = inputs((5, 129), torch.float32)
    wide = torch.full((5, 160), 7.0)
    wide[:, :129] = logits
    launch_apply_token_bitmask(wide[:, :129], bitmask, mask_ids)
    assert torch.equal(wide[:, :129], exact(logits, bitmask, mask_ids))
    assert (wide[:, 129:] == 7).all()


def test_other_shapes_are_refused() -> None:
    logits, bitmask, mask_ids = inputs((3, 63), torch.float32)
    with pytest.raises(ValueError, match="bitmask, got"):
        launch_apply_token_bitmask(logits, bitmask[:, :1], mask_ids)
    with pytest.raises(ValueError, match="logits, got"):
        launch_apply_token_bitmask(torch.zeros(63, 3).T, bitmask, mask_ids)
    with pytest.raises(ValueError, match="mask_ids, got"):
        launch_apply_token_bitmask(logits, bitmask, mask_ids[:2])
    with pytest.raises(ValueError, match="mask_ids, got"):
        launch_apply_token_bitmask(logits, bitmask, mask_ids[:1].expand(3))


@pytest.mark.gpu
@pytest.mark.parametrize(("shape", "dtype"), device_cases(LARGE))
def test_real_shapes_on_a_device(shape: tuple[int, int], dtype: torch.dtype) -> None:
    logits, bitmask, mask_ids = inputs(shape, dtype, "cuda")
    expected = apply_token_bitmask_reference(logits.cpu(), bitmask.cpu(), mask_ids.cpu())

    def run() -> list[torch.Tensor]:
        return [apply_token_bitmask(logits.clone(), bitmask, mask_ids)]

    assert torch.equal(run()[0].cpu(), expected)
    assert_repeats(run)
    alone = apply_token_bitmask(logits[5:6].clone(), bitmask, mask_ids[5:6])
    assert_same_bits([alone], [run()[0][5:6]])
    fresh = inputs(shape, dtype, "cuda", seed=1)
    fresh[2][40:] = -1
    assert_replays(run, [logits, bitmask, mask_ids], fresh)
