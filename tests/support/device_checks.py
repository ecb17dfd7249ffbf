"""What every kernel must show on a device: the same bits each time, and the same from a replayed graph."""

from collections.abc import Callable, Mapping, Sequence

import pytest
import torch

Run = Callable[[], Sequence[torch.Tensor]]
DTYPES = (torch.bfloat16, torch.float16, torch.float32)


def device_cases(shapes: Mapping[str, tuple[int, ...]]) -> list[object]:
    """Return parameters (shape, dtype): all types with the first shape, bf16 with the others, as each pair compiles."""
    first = next(iter(shapes))
    pairs = [(first, dtype) for dtype in DTYPES] + [(name, torch.bfloat16) for name in shapes if name != first]
    return [pytest.param(shapes[name], dtype, id=f"{name}, {dtype}") for name, dtype in pairs]


def cloned(tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    return [tensor.clone() for tensor in tensors]


def assert_same_bits(found: Sequence[torch.Tensor], expected: Sequence[torch.Tensor]) -> None:
    """Compare bit by bit; NaNs of the same bits are equal."""
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one.shape == other.shape
        assert torch.equal(one.contiguous().view(torch.uint8), other.contiguous().view(torch.uint8))


def assert_repeats(run: Run, times: int = 100) -> None:
    """`run` returns the same bits each time."""
    expected = cloned(run())
    for _ in range(times):
        assert_same_bits(run(), expected)


def assert_replays(run: Run, inputs: Sequence[torch.Tensor], fresh: Sequence[torch.Tensor]) -> None:
    """A graph captured over `inputs` returns, after they changed to `fresh`, what an eager run returns."""
    run()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        outputs = run()
    for static, content in zip(inputs, fresh, strict=True):
        static.copy_(content)
    graph.replay()
    found = cloned(outputs)
    # `run` may change its inputs, so each run begins with the fresh ones.
    for static, content in zip(inputs, fresh, strict=True):
        static.copy_(content)
    assert_same_bits(found, cloned(run()))
