"""What a run measured, as it is written to a file: latencies in milliseconds, rates by the second."""

from dataclasses import dataclass

from .distribution import Distribution

FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadOptions:
    """What was asked for. With the same models on the server it makes the same requests again."""

    url: str
    models: tuple[str, ...]
    num_models: int | None
    route: str
    rate: float | None
    cv: float
    concurrency: int | None
    popularity: str
    alpha: float
    input_len: str
    output_len: str
    prompts: str
    token_ids: str
    trace: str | None
    time_unit: float
    num_warm_up: int
    seed: int
    ignore_eos: bool
    temperature: float
    timeout: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Failures:
    """How many requests failed in one way, and what was said of the first of them."""

    kind: str
    count: int
    example: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Latencies:
    """Of the requests that succeeded, in milliseconds; None where none did, or none has two tokens."""

    ttft: Distribution | None
    tpot: Distribution | None
    itl: Distribution | None
    e2e: Distribution | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Goodput:
    """The limits in milliseconds, the share of the requests that kept them, and how many a second did."""

    ttft: float | None
    tpot: float | None
    e2e: float | None
    share: float
    requests_per_second: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSummary:
    """What one model, or several of them together, were asked for and served; tokens are those of answers."""

    name: str
    num_models: int
    num_requests: int
    num_failed: int
    num_tokens_asked: int
    num_tokens_served: int
    latencies: Latencies


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSummary:
    """How well the client kept up: its delays in milliseconds, its CPU, and a warning if it was the bottleneck.

    `late` is of requests behind the moments at which they were due, `lag` of the loop that reads what comes.
    """

    late: Distribution | None
    lag: Distribution | None
    cpu_share: float
    cpu_microseconds_per_token: float | None
    warning: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRow:
    """One request; `at` is when it was planned and `sent` when it was sent, in seconds from the start, others in ms."""

    number: int
    model: str
    at: float
    sent: float | None
    late: float | None
    input_tokens: int
    output_tokens_asked: int
    output_tokens: int
    ttft: float | None
    tpot: float | None
    e2e: float | None
    failure: str | None
    was_interrupted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadReport:
    """All that a run measured. Throughput is of what succeeded, over the time until the last answer ended."""

    format: int
    version: str
    started_at: str
    options: LoadOptions
    seconds: float
    num_planned: int
    num_sent: int
    num_succeeded: int
    num_failed: int
    num_interrupted: int
    failures: list[Failures]
    latencies: Latencies
    requests_per_second: float
    output_tokens_per_second: float
    total_tokens_per_second: float
    goodput: Goodput | None
    num_models: int
    jains_index: float | None
    busiest: list[ModelSummary]
    rest: ModelSummary | None
    client: ClientSummary
    requests: list[RequestRow]
