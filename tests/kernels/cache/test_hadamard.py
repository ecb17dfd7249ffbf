"""The rotation against its reference."""

import pytest
import torch

from verilora.kernels.cache.hadamard import hadamard_matrix, hadamard_reference, launch_hadamard

from caches import relative_error


def vectors(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * 2


@pytest.mark.interpreter
@pytest.mark.parametrize("size", [16, 32, 64, 128])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=["fp32", "fp16"])
def test_rotations(size: int, dtype: torch.dtype) -> None:
    x = vectors(65, size).to(dtype)
    tolerance = 1e-6 if dtype == torch.float32 else 1e-3
    assert relative_error(launch_hadamard(x), hadamard_reference(x)) < tolerance
    assert relative_error(launch_hadamard(launch_hadamard(x)), x) < 2 * tolerance


def test_the_matrix_is_orthogonal() -> None:
    matrix = hadamard_matrix(64)
    assert torch.equal(matrix @ matrix, 64 * torch.eye(64))
