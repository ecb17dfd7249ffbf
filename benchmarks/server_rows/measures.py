"""What is measured of a server, and of the same engine without one."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from verilora.serving.load.distribution import Distribution

from .served import Figures, Served, quantile
from .workload import bench_options


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """Output tokens a second, and microseconds of the engine's CPU a token: those hold on a machine that is shared."""

    tokens_per_second: float
    engine_us_a_token: float


class Bare:
    """The engine without a server, in a process of its own."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    @classmethod
    @contextmanager
    def of(cls, description: dict[str, object]) -> Iterator[Self]:
        """Yield an engine as a description says, and end it."""
        command = [sys.executable, str(Path(__file__).parent / "bare_engine.py")]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            bare = cls(process)
            bare._say({"description": description})
            yield bare
            assert process.stdin is not None
            process.stdin.close()

    def speed(self, streams: int, **plan: int) -> Speed:
        """Return how fast it is with so many requests under way."""
        return Speed(**self._asked({"streams": streams, "plan": plan}))

    def first_token(self, **plan: float) -> float:
        """Return the median time to the first token in milliseconds."""
        return float(self._asked({"plan": plan}))

    def _asked(self, question: dict[str, object]) -> Any:
        self._say(question)
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())

    def _say(self, question: dict[str, object]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """A load over HTTP, as `verilora bench` reports it, and what it took the front. `late` is of its event loop."""

    speed: Speed
    latencies: dict[str, dict[str, float]]
    client: dict[str, Any]
    front_us_a_token: float
    front_share: float
    late_p50_ms: float
    late_p99_ms: float


def load(served: Served, **options: Any) -> Load:
    """Return what a load over HTTP measures; raises if a request fails."""
    with measured(served, **options) as found:
        pass
    return found[0]


@contextmanager
def measured(served: Served, **options: Any) -> Iterator[list[Load]]:
    """Let a load run beside what the caller does; behind it the list holds what was measured."""
    found: list[Load] = []
    command = [sys.executable, "-m", "verilora", "bench", "--json", "--url", served.url, *bench_options(**options)]
    before = served.figures()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        yield found
        said, errors = process.communicate()
    if process.returncode:
        raise RuntimeError(f"the load failed: {said[:2000]} {errors[-2000:]}")
    found.append(_load(json.loads(said), before, served.figures()))


def _load(report: dict[str, Any], before: Figures, after: Figures) -> Load:
    num_tokens = sum(one["num_tokens_served"] for one in report["busiest"])
    front = after.front_cpu - before.front_cpu
    return Load(
        speed=Speed(
            tokens_per_second=report["output_tokens_per_second"],
            engine_us_a_token=1e6 * (after.engine_cpu - before.engine_cpu) / num_tokens,
        ),
        latencies=report["latencies"],
        client=report["client"],
        front_us_a_token=1e6 * front / num_tokens,
        front_share=front / report["seconds"],
        late_p50_ms=1000 * quantile(before.late, after.late, 0.5),
        late_p99_ms=1000 * quantile(before.late, after.late, 0.99),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterLoads:
    """Adapters that were loaded over HTTP at a rate: how long the first to the last took, and each in milliseconds."""

    num_loads: int
    asked_per_second: float
    per_second: float
    p50_ms: float
    p99_ms: float


def load_adapters(served: Served, names: Sequence[str], per_second: float) -> AdapterLoads:
    """Let a server load adapters at a rate, whether or not earlier ones are loaded; raises if one is refused."""
    start = time.perf_counter()

    def load_one(number: int) -> float:
        time.sleep(max(0.0, start + number / per_second - time.perf_counter()))
        sent = time.perf_counter()
        body = {"lora_name": names[number], "lora_path": names[number]}
        status, text = served.ask("POST", "/v1/load_lora_adapter", body)
        if status != 200:
            raise RuntimeError(f"{names[number]} was refused with {status}: {text}")
        return time.perf_counter() - sent

    with ThreadPoolExecutor(64) as pool:
        times = Distribution.of(pool.map(load_one, range(len(names))), 1000)
    assert times is not None, "some are loaded"
    return AdapterLoads(
        num_loads=len(names),
        asked_per_second=per_second,
        per_second=len(names) / (time.perf_counter() - start),
        p50_ms=times.p50,
        p99_ms=times.p99,
    )
