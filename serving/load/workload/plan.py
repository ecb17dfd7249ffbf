"""What is sent when: a pure function of the options and the models' names."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from ..choices import Popularity, PromptKind
from .arrivals import Arrivals
from .lengths import LengthRange
from .popularity import choose_models
from .prompts import Prompt, draw_prompt
from .trace import TraceRow

MAX_REQUESTS = 1_000_000
# Ids that every vocabulary has, above those of control tokens.
TOKEN_IDS = LengthRange(10, 250)


class _Part(IntEnum):
    """What draws from a sequence of its own, so that a change of one leaves the others as they were."""

    ARRIVALS = 0
    MODELS = 1
    INPUTS = 2
    OUTPUTS = 3
    PROMPTS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What load to make. A trace replaces number, arrivals and lengths; `time_unit` is a unit of its time."""

    num_requests: int
    arrivals: Arrivals
    input_len: LengthRange
    output_len: LengthRange
    popularity: Popularity = Popularity.UNIFORM
    alpha: float = 1.0
    prompts: PromptKind = PromptKind.TOKENS
    token_ids: LengthRange = TOKEN_IDS
    time_unit: float = 0.001
    seed: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.num_requests <= MAX_REQUESTS:
            raise ValueError(f"number of requests, got {self.num_requests}, expected 1 to {MAX_REQUESTS}")
        if not 0 < self.alpha <= 100:
            raise ValueError(f"alpha, got {self.alpha}, expected more than 0 and at most 100")
        if not 0 < self.time_unit < math.inf:
            raise ValueError(f"time unit, got {self.time_unit}, expected more than 0 seconds")
        if not self.input_len.low or not self.output_len.low:
            raise ValueError(f"lengths, got {self.input_len} and {self.output_len}, expected at least 1 token")


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedRequest:
    """A request that is to be sent `at` seconds after the start; lengths are in tokens."""

    number: int
    at: float
    model: str
    prompt: Prompt
    input_len: int
    output_len: int


def plan_requests(
    workload: Workload, models: Sequence[str], trace: Sequence[TraceRow] | None = None
) -> list[PlannedRequest]:
    """Return the requests of a workload in the order of their times, those of a trace if there is one."""
    num_requests = workload.num_requests if trace is None else len(trace)
    chosen = choose_models(
        workload.popularity, workload.alpha, num_requests, len(models), _generator(workload.seed, _Part.MODELS)
    )
    names = [models[index] for index in chosen]
    if trace is None:
        times = workload.arrivals.times(num_requests, _generator(workload.seed, _Part.ARRIVALS)).tolist()
        inputs = workload.input_len.draw(num_requests, _generator(workload.seed, _Part.INPUTS)).tolist()
        outputs = workload.output_len.draw(num_requests, _generator(workload.seed, _Part.OUTPUTS)).tolist()
        return _planned(workload, zip(times, names, inputs, outputs, strict=True))
    return _planned(workload, _recorded(workload, trace, names))


def _recorded(
    workload: Workload, trace: Sequence[TraceRow], names: Sequence[str]
) -> Iterable[tuple[float, str, int, int]]:
    start = trace[0].timestamp
    for row, name in zip(trace, names, strict=True):
        at = (row.timestamp - start) * workload.time_unit
        yield at, row.model or name, row.input_length, row.output_length


def _planned(workload: Workload, rows: Iterable[tuple[float, str, int, int]]) -> list[PlannedRequest]:
    return [
        PlannedRequest(
            number=number,
            at=at,
            model=model,
            prompt=draw_prompt(
                workload.prompts, input_len, workload.token_ids, _generator(workload.seed, _Part.PROMPTS, number)
            ),
            input_len=input_len,
            output_len=output_len,
        )
        for number, (at, model, input_len, output_len) in enumerate(rows)
    ]


def _generator(seed: int, part: _Part, number: int = 0) -> np.random.Generator:
    return np.random.default_rng((seed, part, number))
