"""Projections that are not fused are refused."""

import pytest

from verilora.kernels.lora.fused_projections import FusedProjections


@pytest.mark.parametrize(
    ("names", "widths", "message"),
    [
        (("q", "v"), (8, 8), r"projections, got \('q', 'v'\)"),
        ((), (), r"projections, got \(\)"),
        (("q", "k", "v", "o"), (8, 8, 8, 8), "projections, got"),
        (("router",), (8,), "projections, got"),
        (("q", "k"), (8,), r"widths, got \(8,\)"),
        (("q",), (0,), r"widths, got \(0,\)"),
    ],
)
def test_other_projections_are_refused(names: tuple[str, ...], widths: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FusedProjections(names, widths)
