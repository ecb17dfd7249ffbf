"""Adapters that come from host memory while others stream, beside the same arrivals with all adapters on the device."""

import time
from dataclasses import dataclass, replace

from verilora.serving.engine.engine import Engine
from verilora.serving.requests.request import Request
from verilora.serving.requests.sampling_params import SamplingParams
from verilora.serving.requests.sequence import Sequence

NUM_STREAMS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Latencies:
    """Milliseconds: to the first token of a request that came, and between tokens of those that stream."""

    ttft_p50: float
    ttft_p99: float
    between_p50: float
    between_p99: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ColdLoads:
    """What loads cost: `ttft_added` in milliseconds at the median, `between_p99_ratio` cold to resident."""

    loads_per_second: float
    num_loads: int
    cold: Latencies
    resident: Latencies
    ttft_added: float
    between_p99_ratio: float


class _Stream:
    """When the tokens of a request came."""

    def __init__(self, started: float) -> None:
        self.started = started
        self.times: list[float] = []

    def __call__(self, sequence: Sequence) -> None:
        self.times.append(time.perf_counter())


def cold_loads(engine: Engine, streams: list[Request], arrivals: list[Request], per_second: float) -> ColdLoads:
    """Let requests arrive beside streams twice: the first time their adapters come from host memory."""
    before = engine.counters().adapter_loads
    cold = _latencies(engine, streams, arrivals, per_second)
    num_loads = engine.counters().adapter_loads - before
    resident = _latencies(engine, streams, arrivals, per_second)
    assert engine.counters().adapter_loads == before + num_loads, "all adapters were there the second time"
    return ColdLoads(
        loads_per_second=per_second,
        num_loads=num_loads,
        cold=cold,
        resident=resident,
        ttft_added=round(cold.ttft_p50 - resident.ttft_p50, 3),
        between_p99_ratio=round(cold.between_p99 / resident.between_p99, 4),
    )


def _latencies(engine: Engine, streams: list[Request], arrivals: list[Request], per_second: float) -> Latencies:
    endless = SamplingParams(temperature=0, max_tokens=100_000, ignore_eos=True)
    listening = [_Stream(0.0) for _ in streams]
    numbers = [
        engine.submit(replace(request, params=endless), stream)[0]
        for request, stream in zip(streams, listening, strict=True)
    ]
    while any(len(stream.times) < 10 for stream in listening):
        engine.step()
    started = time.perf_counter()
    came: list[_Stream] = []
    while len(came) < len(arrivals) or any(not stream.times for stream in came):
        due = started + len(came) / per_second
        if len(came) < len(arrivals) and time.perf_counter() >= due:
            came.append(_Stream(due))
            engine.submit(arrivals[len(came) - 1], came[-1])
        engine.step()
    for number in numbers:
        engine.cancel(number)
    while engine.step():
        pass
    first = sorted(1000 * (stream.times[0] - stream.started) for stream in came)
    between = sorted(
        1000 * (later - earlier)
        for stream in listening
        for earlier, later in zip(stream.times, stream.times[1:], strict=False)
        if earlier >= started
    )
    return Latencies(
        ttft_p50=_at(first, 0.5),
        ttft_p99=_at(first, 0.99),
        between_p50=_at(between, 0.5),
        between_p99=_at(between, 0.99),
    )


def _at(ordered: list[float], share: float) -> float:
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 3)
