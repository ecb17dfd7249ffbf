"""Our engine on a workload."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import torch

from verilora.serving.engine.engine import Engine
from verilora.serving.memory.adapter_weights import AdapterWeights
from verilora.serving.models.decoder import Decoder
from verilora.serving.requests.request import Request
from verilora.serving.requests.sampling_params import SamplingParams

from .cold_loads import NUM_STREAMS, ColdLoads, cold_loads
from .shapes import random_adapter
from .timeline import Timeline, timeline
from .workload import Workload

SHORT = SamplingParams(temperature=0, max_tokens=2, ignore_eos=True)
RANK = 16
# How many adapters differ; more share their numbers under other names and scales.
NUM_DRAWN = 64


def register(engine: Engine, decoder: Decoder, num_adapters: int) -> None:
    """Register adapters of which the first 64 differ in their numbers, and the others from them in scale and name."""
    drawn = [random_adapter(decoder.architecture, RANK, number) for number in range(min(num_adapters, NUM_DRAWN))]

    def add(number: int) -> None:
        adapter = drawn[number % NUM_DRAWN]
        if number >= NUM_DRAWN:
            places = {place: replace(pair, scale=2.0 + number / 2**10) for place, pair in adapter.places.items()}
            adapter = AdapterWeights(places)
            # Digests of 54 MB each would take minutes.
            vars(adapter)["digest"] = f"{number:064x}"
        engine.add_adapter(f"adapter-{number}", adapter)

    with ThreadPoolExecutor(8) as pool:
        for _ in pool.map(add, range(num_adapters)):
            pass


def requests_of(workload: Workload, popularity: str, vocab_size: int) -> list[Request]:
    params = SamplingParams(temperature=0, max_tokens=workload.output_len, ignore_eos=True)
    return [
        Request(prompt=tuple(prompt), params=params, adapter=None if number is None else f"adapter-{number}")
        for prompt, number in zip(workload.prompts(vocab_size), workload.adapters(popularity), strict=True)
    ]


def tokens_per_second(engine: Engine, requests: Sequence[Request], device: str) -> tuple[float, int]:
    """Return output tokens a second, and the steps they took. All is compiled and loaded before time is taken."""
    engine.generate([replace(one, params=SHORT) for one in requests])
    before = engine.counters().num_steps
    started = time.perf_counter()
    outputs = engine.generate(requests)
    if device == "cuda":
        torch.cuda.synchronize()
    seconds = time.perf_counter() - started
    for (output,) in outputs:
        assert not output.error, output.error
    return sum(len(output.token_ids) for (output,) in outputs) / seconds, engine.counters().num_steps - before


def cold_loads_of(engine: Engine, workload: Workload, vocab_size: int, num_loads: int, per_second: float) -> ColdLoads:
    """Return what loads cost beside streams; the adapters that come are those that nobody has asked for yet."""
    prompts = workload.prompts(vocab_size)
    params = SamplingParams(temperature=0, max_tokens=8, ignore_eos=True)
    arrivals = [
        Request(
            prompt=tuple(prompts[number % len(prompts)][:128]), params=params, adapter=f"adapter-{NUM_DRAWN + number}"
        )
        for number in range(num_loads)
    ]
    # What a step with a prompt compiles is compiled before.
    engine.generate([replace(one, adapter="adapter-0") for one in arrivals[:2]])
    streams = requests_of(workload, "distinct", vocab_size)[:NUM_STREAMS]
    return cold_loads(engine, streams, arrivals, per_second)


def timelines_of(engine: Engine, requests: Sequence[Request], num_rows: int, trace: str | None) -> dict[str, Timeline]:
    """Return what the GPU does while prompts are read, and while so many rows decode."""
    numbers = [engine.submit(request, lambda sequence: None)[0] for request in requests[:num_rows]]
    found = {"prompts": timeline(engine, num_steps=4)}
    while any(engine._sequences[number].num_produced < 8 for number in numbers):
        engine.step()
    found["decode"] = timeline(engine, trace=trace)
    for number in numbers:
        engine.cancel(number)
    while engine.step():
        pass
    return found
