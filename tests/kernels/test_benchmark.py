"""The benchmark's runner: a wrong kernel gets no time."""

import importlib
import sys
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


class Stopwatch:
    """Says that everything takes twice a microsecond for each percentile."""

    def time_us(self, work: object) -> list[float]:
        return [1.0, 2.0, 3.0]


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.delitem(sys.modules, "kernels", raising=False)
    module = importlib.import_module("kernels")
    monkeypatch.delitem(sys.modules, "kernels")
    return module


def measured(benchmark: ModuleType, error: float) -> object:
    case = benchmark.Case(run=list, error=lambda: error, tolerance=0.1, num_bytes=3e6, num_flops=1e6)
    row = benchmark.Row(name="row", make=lambda: case)
    return benchmark.measure(row, Stopwatch(), benchmark.Ceilings(copy_bytes=3e12, matmul_flops=1e13, host_bytes=1e9))


@pytest.mark.parametrize("error", [0.2, float("nan")])
def test_a_red_row_has_no_time(benchmark: ModuleType, error: float) -> None:
    result = measured(benchmark, error)
    assert not result.is_green
    assert (result.p20, result.p50, result.p80, result.roofline) == (None, None, None, None)


def test_a_green_row_has_times_and_its_share_of_the_roofline(benchmark: ModuleType) -> None:
    result = measured(benchmark, 0.05)
    assert (result.p20, result.p50, result.p80) == (1.0, 2.0, 3.0)
    assert result.floor_us == pytest.approx(1.0)
    assert result.roofline == pytest.approx(0.5)


def test_a_row_that_raises_is_red_and_says_why(benchmark: ModuleType) -> None:
    def make() -> object:
        raise ValueError("no such shape")

    result = benchmark.measure_or_fail(benchmark.Row(name="row", make=make), Stopwatch(), None)
    assert (result.is_green, result.p50, result.failure) == (False, None, "ValueError: no such shape")


def test_every_row_has_a_name_of_its_own(benchmark: ModuleType) -> None:
    names = [row.name for row in benchmark.all_rows()]
    assert names
    assert len(names) == len(set(names))
