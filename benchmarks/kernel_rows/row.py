"""What a kernel benchmark measures: a row, and the case that its `make` builds on the GPU."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

Work = Callable[[], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Work to be timed, with what it must do at least.

    `run` synchronises with nothing and writes in place or returns its result: it is captured in a CUDA graph, as the
    `baselines` are. `error` runs it once and returns its relative error against a reference in fp32 or better; above
    `tolerance` no time is reported. `num_bytes` counts each input read once and each output written once; `host_bytes`
    what goes to or from the host.
    """

    run: Work
    error: Callable[[], float]
    tolerance: float
    num_bytes: float
    num_flops: float = 0.0
    host_bytes: float = 0.0
    baselines: Mapping[str, Work] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A named case, built when its turn comes so that one at a time is in memory; `target_us` is its bar, if any."""

    name: str
    make: Callable[[], Case]
    target_us: float | None = None
