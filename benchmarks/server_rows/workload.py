"""What both sides are asked, the server over HTTP and the bare engine: the plan that `verilora bench` makes."""

from verilora.serving.load.workload.arrivals import Arrivals
from verilora.serving.load.workload.lengths import LengthRange
from verilora.serving.load.workload.plan import PlannedRequest, Workload, plan_requests

MODEL = "base"


def bench_options(
    *, num_requests: int, input_len: int, output_len: int, rate: float | None = None, concurrency: int | None = None
) -> list[str]:
    """Return the options of `verilora bench` for a load."""
    options = ["-n", str(num_requests), "--input-len", str(input_len), "--output-len", str(output_len)]
    options += ["--models", MODEL, "--ignore-eos", "--busiest", "1"]
    options += [] if rate is None else ["--rate", repr(rate)]
    return options if concurrency is None else [*options, "--concurrency", str(concurrency)]


def planned(*, num_requests: int, input_len: int, output_len: int, rate: float | None = None) -> list[PlannedRequest]:
    """Return the same requests at the same times, as `verilora bench` plans them with those options."""
    workload = Workload(
        num_requests=num_requests,
        arrivals=Arrivals(rate=rate),
        input_len=LengthRange(input_len, input_len),
        output_len=LengthRange(output_len, output_len),
    )
    return plan_requests(workload, [MODEL])
