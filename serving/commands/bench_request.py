"""The options of `verilora bench`, and what they ask for."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..load.choices import Popularity, PromptKind, Route
from ..load.load_report import LoadOptions
from ..load.objective import Objective
from ..load.target import Target
from ..load.workload.arrivals import Arrivals
from ..load.workload.lengths import LengthRange
from ..load.workload.plan import Workload

KEY_VARIABLE = "VERILORA_API_KEY"
DEFAULT_RATE = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchRequest:
    """What `verilora bench` is asked for."""

    target: Target
    workload: Workload
    version: str
    models: tuple[str, ...] = ()
    num_models: int | None = None
    concurrency: int | None = None
    trace: Path | None = None
    num_warm_up: int = 0
    objective: Objective | None = None
    num_busiest: int = 10
    max_late: float = 10.0
    out: Path | None = None
    as_json: bool = False

    def options(self) -> LoadOptions:
        """Return the options as the report tells them."""
        workload, target = self.workload, self.target
        return LoadOptions(
            url=target.url,
            models=self.models,
            num_models=self.num_models,
            route=target.route,
            rate=None if self.trace else workload.arrivals.rate,
            cv=workload.arrivals.cv,
            concurrency=self.concurrency,
            popularity=workload.popularity,
            alpha=workload.alpha,
            input_len=str(workload.input_len),
            output_len=str(workload.output_len),
            prompts=workload.prompts,
            token_ids=str(workload.token_ids),
            trace=str(self.trace) if self.trace else None,
            time_unit=workload.time_unit,
            num_warm_up=self.num_warm_up,
            seed=workload.seed,
            ignore_eos=target.ignore_eos,
            temperature=target.temperature,
            timeout=target.timeout,
        )


def bench_request(
    *,
    version: str,
    url: str,
    models: Sequence[str],
    num_models: int | None,
    route: Route,
    num_requests: int,
    duration: float | None,
    rate: float | None,
    cv: float,
    concurrency: int | None,
    popularity: Popularity | None,
    alpha: float | None,
    input_len: str,
    output_len: str,
    trace: Path | None,
    time_unit: float,
    prompts: PromptKind | None,
    token_ids: str,
    seed: int,
    ignore_eos: bool,
    temperature: float,
    timeout: float,
    num_warm_up: int,
    goodput: Sequence[str],
    num_busiest: int,
    max_late: float,
    out: Path | None,
    as_json: bool,
) -> BenchRequest:
    """Return what options ask for; raises ValueError for one that cannot be. The key comes from the environment."""
    arrivals = Arrivals(rate=DEFAULT_RATE if rate is None and concurrency is None else rate, cv=cv)
    target = Target(
        url=url,
        route=route,
        key=os.environ.get(KEY_VARIABLE) or None,
        ignore_eos=ignore_eos,
        temperature=temperature,
        timeout=timeout,
    )
    workload = Workload(
        num_requests=num_requests if duration is None else _num_requests(arrivals, duration),
        arrivals=arrivals,
        popularity=_popularity(popularity, alpha),
        alpha=1.0 if alpha is None else alpha,
        input_len=_range("--input-len", input_len),
        output_len=_range("--output-len", output_len),
        prompts=_prompts(route, prompts),
        token_ids=_range("--token-ids", token_ids),
        time_unit=time_unit,
        seed=seed,
    )
    return BenchRequest(
        target=target,
        workload=workload,
        version=version,
        models=tuple(name for text in models for name in text.split()),
        num_models=num_models,
        concurrency=concurrency,
        trace=trace,
        num_warm_up=num_warm_up,
        objective=Objective.parse(goodput),
        num_busiest=num_busiest,
        max_late=max_late,
        out=out,
        as_json=as_json,
    )


def _num_requests(arrivals: Arrivals, duration: float) -> int:
    """Return rate times duration, as S-LoRA has it."""
    if arrivals.rate is None:
        raise ValueError("--duration, expected --rate with it")
    if not 1 <= arrivals.rate * duration < 1e9:
        raise ValueError(f"--duration, got {duration} at a rate of {arrivals.rate}, expected time for one request")
    return int(arrivals.rate * duration)


def _popularity(popularity: Popularity | None, alpha: float | None) -> Popularity:
    if alpha is None:
        return popularity or Popularity.UNIFORM
    if popularity not in (None, Popularity.POWER_LAW):
        raise ValueError(f"--alpha, expected it with the popularity power-law, got {popularity}")
    return Popularity.POWER_LAW


def _prompts(route: Route, prompts: PromptKind | None) -> PromptKind:
    if route is Route.CHAT:
        if prompts is PromptKind.TOKENS:
            raise ValueError("--prompts, got tokens, expected words: a chat takes no token ids")
        return PromptKind.WORDS
    return prompts or PromptKind.TOKENS


def _range(option: str, text: str) -> LengthRange:
    try:
        return LengthRange.parse(text)
    except ValueError as error:
        raise ValueError(f"{option}, {error}") from None
