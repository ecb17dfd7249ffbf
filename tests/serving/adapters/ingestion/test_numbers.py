import io

import numpy as np
import pytest
import torch

from verilora.serving.adapters.ingestion import numbers
from verilora.serving.adapters.ingestion.numbers import largest_of
from verilora.serving.adapters.ingestion.safetensors_header import Tensor

TYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


def written(values: torch.Tensor) -> bytes:
    return values.view(torch.uint8).numpy().tobytes()


def largest(dtype: str, content: bytes, shape: tuple[int, ...]) -> float | None:
    return largest_of(io.BytesIO(b"before" + content + b"\xff" * 8), Tensor(dtype, shape, 6, 6 + len(content)))


@pytest.mark.parametrize("piece", [16, 2**22])
@pytest.mark.parametrize(("name", "dtype"), TYPES.items(), ids=TYPES)
def test_the_largest_is_what_torch_finds(
    name: str, dtype: torch.dtype, piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(numbers, "_PIECE", piece)
    values = torch.randn(37, generator=torch.Generator().manual_seed(0)).to(dtype)
    assert largest(name, written(values), (37,)) == float(values.abs().max())
    for at in (0, 20, 36):
        for odd in (np.nan, np.inf, -np.inf):
            spoilt = values.clone()
            spoilt[at] = odd
            assert largest(name, written(spoilt), (37,)) is None
