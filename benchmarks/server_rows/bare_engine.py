"""The engine without a server, in a process of its own: reads what to measure on standard input, prints what it found.

It is the engine that `verilora serve` starts, with the same settings, asked from the same thread that computes.
"""

import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

# As a script, the folder above is not where Python looks.
sys.path.insert(0, str(Path(__file__).parents[1]))

from server_rows.workload import planned

from verilora.serving.engine.engine import Engine
from verilora.serving.load.workload.plan import PlannedRequest
from verilora.serving.requests import sequence
from verilora.serving.requests.request import Request
from verilora.serving.requests.sampling_params import SamplingParams
from verilora.serving.wire.description import EngineDescription
from verilora.serving.wire.served_model import load_served


def main() -> None:
    """Print the speed for a number of streams, or the median time to the first token at a rate, a line a question."""
    asked = json.loads(sys.stdin.readline())
    with TemporaryDirectory() as folder:
        engine, card, _ = load_served(EngineDescription(folder=folder, **asked["description"]))
    banned = frozenset(card.banned_ids)
    for line in sys.stdin:
        one = json.loads(line)
        plan = planned(**one["plan"])
        requests = [request_of(request, banned) for request in plan]
        found = closed(engine, requests, one["streams"]) if "streams" in one else opened(engine, plan, requests)
        print(json.dumps(found), flush=True)


def request_of(request: PlannedRequest, banned: frozenset[int]) -> Request:
    assert not isinstance(request.prompt, str), "prompts are token ids"
    params = SamplingParams(temperature=0, max_tokens=request.output_len, ignore_eos=True, banned_ids=banned)
    return Request(prompt=request.prompt, params=params)


def closed(engine: Engine, requests: Sequence[Request], num_streams: int) -> dict[str, float]:
    """Return how fast it is with so many requests under way: when one ends the next begins."""
    waiting = [*reversed(requests)]

    def hear(one: sequence.Sequence) -> None:
        assert not one.error, one.error
        if one.finish is not None and waiting:
            engine.submit(waiting.pop(), hear)

    before, started, cpu = engine.counters().output_tokens, time.perf_counter(), time.process_time()
    for _ in range(min(num_streams, len(requests))):
        engine.submit(waiting.pop(), hear)
    while engine.step():
        pass
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    num_tokens = engine.counters().output_tokens - before
    return {"tokens_per_second": num_tokens / seconds, "engine_us_a_token": 1e6 * cpu / num_tokens}


def opened(engine: Engine, plan: Sequence[PlannedRequest], requests: Sequence[Request]) -> float:
    """Return the median time to the first token in milliseconds, of requests that come when they are planned."""
    first: dict[int, float] = {}

    def hears(number: int, due: float) -> Callable[[sequence.Sequence], None]:
        return lambda _: None if number in first else first.update({number: time.perf_counter() - due})

    start, coming = time.perf_counter(), 0
    while coming < len(plan) or len(first) < len(plan):
        while coming < len(plan) and time.perf_counter() >= start + plan[coming].at:
            engine.submit(requests[coming], hears(coming, start + plan[coming].at))
            coming += 1
        if not engine.step() and coming < len(plan):
            time.sleep(max(0.0, start + plan[coming].at - time.perf_counter()))
    while engine.step():
        pass
    return 1000 * median(first.values())


if __name__ == "__main__":
    main()
