"""What a GPU does during steps that decode: how long it computes, and which kernels take how much of it."""

from collections import defaultdict
from dataclasses import dataclass

import torch
from torch.autograd import DeviceType

from verilora.serving.engine.engine import Engine


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """Milliseconds a step, the share of them in which the GPU does nothing, and microseconds a step by kernel."""

    step_ms: float
    idle_share: float
    kernels_us: dict[str, float]


def timeline(engine: Engine, num_steps: int = 20, trace: str | None = None) -> Timeline:
    """Return what the next steps of an engine do on its GPU; `trace` is a file for the whole of it."""
    torch.cuda.synchronize()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profiler:
        for _ in range(num_steps):
            engine.step()
        torch.cuda.synchronize()
    if trace:
        profiler.export_chrome_trace(trace)
    found = sorted(
        (event.time_range.start, event.time_range.end, event.name)
        for event in profiler.events()
        if event.device_type == DeviceType.CUDA
    )
    busy, end, kernels = 0.0, found[0][0], defaultdict[str, float](float)
    for start, stop, name in found:
        busy += max(0.0, stop - max(start, end))
        end = max(end, stop)
        kernels[name] += (stop - start) / num_steps
    whole = end - found[0][0]
    largest = sorted(kernels.items(), key=lambda pair: -pair[1])[:25]
    return Timeline(
        step_ms=round(whole / num_steps / 1000, 3),
        idle_share=round(1 - busy / whole, 4),
        kernels_us={name[:80]: round(us, 1) for name, us in largest},
    )
