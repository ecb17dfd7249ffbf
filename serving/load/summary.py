"""From what was measured of each request to the report of a run."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict

from .attempt import Attempt
from .distribution import Distribution, jains_index
from .load_report import (
    FORMAT,
    ClientSummary,
    Failures,
    Goodput,
    Latencies,
    LoadOptions,
    LoadReport,
    ModelSummary,
    RequestRow,
)
from .load_run import LoadRun
from .objective import Objective

MILLISECONDS = 1000.0
# What Poisson arrivals at a thousand a second are apart: later than that, and arrivals are no longer the planned ones.
MAX_LATE = 10.0


def summarize(
    run: LoadRun,
    options: LoadOptions,
    *,
    version: str,
    started_at: str,
    objective: Objective | None = None,
    num_busiest: int = 10,
    max_late: float = MAX_LATE,
) -> LoadReport:
    """Return the report of a run: the models that were asked most one by one, and the rest together."""
    succeeded = [attempt for attempt in run.attempts if attempt.has_succeeded]
    failed = [attempt for attempt in run.attempts if attempt.failure]
    output = sum(attempt.num_output_tokens for attempt in succeeded)
    total = output + sum(attempt.num_input_tokens for attempt in succeeded)
    models = _by_model(run.attempts)
    rest = [attempt for name in list(models)[num_busiest:] for attempt in models[name]]
    return LoadReport(
        format=FORMAT,
        version=version,
        started_at=started_at,
        options=options,
        seconds=run.seconds,
        num_planned=run.num_planned,
        num_sent=len(run.attempts),
        num_succeeded=len(succeeded),
        num_failed=len(failed),
        num_interrupted=len(run.attempts) - len(succeeded) - len(failed),
        failures=_failures(failed),
        latencies=_latencies(succeeded),
        requests_per_second=len(succeeded) / run.seconds,
        output_tokens_per_second=output / run.seconds,
        total_tokens_per_second=total / run.seconds,
        goodput=_goodput(objective, run) if objective else None,
        num_models=len(models),
        jains_index=jains_index(_served_shares(models.values())),
        busiest=[_model(name, 1, models[name]) for name in list(models)[:num_busiest]],
        rest=_model("the rest", len(models) - num_busiest, rest) if rest else None,
        client=_client(run, max_late),
        requests=[_row(attempt, run.start) for attempt in run.attempts],
    )


def _by_model(attempts: Iterable[Attempt]) -> dict[str, list[Attempt]]:
    """Return the attempts of each model, the busiest model first; names decide between equals."""
    found: dict[str, list[Attempt]] = {}
    for attempt in attempts:
        found.setdefault(attempt.planned.model, []).append(attempt)
    return dict(sorted(found.items(), key=lambda item: (-len(item[1]), item[0])))


def _failures(failed: Iterable[Attempt]) -> list[Failures]:
    """Return the ways in which requests failed, the commonest first."""
    counts: dict[str, int] = {}
    examples: dict[str, str] = {}
    for attempt in failed:
        assert attempt.failure
        kind = attempt.failure.kind
        counts[kind] = counts.get(kind, 0) + 1
        examples.setdefault(kind, attempt.failure.message)
    return [
        Failures(kind=kind, count=count, example=examples[kind])
        for kind, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    ]


def _latencies(succeeded: Sequence[Attempt]) -> Latencies:
    return Latencies(
        ttft=Distribution.of((attempt.ttft for attempt in succeeded), MILLISECONDS),
        tpot=Distribution.of((attempt.tpot for attempt in succeeded), MILLISECONDS),
        itl=Distribution.of((itl for attempt in succeeded for itl in attempt.itls), MILLISECONDS),
        e2e=Distribution.of((attempt.e2e for attempt in succeeded), MILLISECONDS),
    )


def _goodput(objective: Objective, run: LoadRun) -> Goodput:
    num_good = sum(map(objective.is_met_by, run.attempts))
    # What an interruption cut off neither kept the limits nor missed them.
    num_ended = sum(attempt.has_ended for attempt in run.attempts)
    return Goodput(
        **asdict(objective),
        share=num_good / num_ended if num_ended else 0.0,
        requests_per_second=num_good / run.seconds,
    )


def _served_shares(models: Iterable[Sequence[Attempt]]) -> Iterator[float]:
    """Yield for each model how many tokens were served for one that was asked for; what was interrupted is left out."""
    for attempts in models:
        ended = [attempt for attempt in attempts if attempt.has_ended]
        if ended:
            asked = sum(attempt.planned.output_len for attempt in ended)
            yield sum(attempt.num_output_tokens for attempt in ended) / asked


def _model(name: str, num_models: int, attempts: Sequence[Attempt]) -> ModelSummary:
    return ModelSummary(
        name=name,
        num_models=num_models,
        num_requests=len(attempts),
        num_failed=sum(attempt.failure is not None for attempt in attempts),
        num_tokens_asked=sum(attempt.planned.output_len for attempt in attempts),
        num_tokens_served=sum(attempt.num_output_tokens for attempt in attempts),
        latencies=_latencies([attempt for attempt in attempts if attempt.has_succeeded]),
    )


def _client(run: LoadRun, max_late: float) -> ClientSummary:
    late = Distribution.of((attempt.late for attempt in run.attempts), MILLISECONDS)
    lag = Distribution.of(run.lags, MILLISECONDS)
    num_tokens = sum(attempt.num_output_tokens for attempt in run.attempts)
    return ClientSummary(
        late=late,
        lag=lag,
        cpu_share=run.cpu_seconds / run.seconds,
        cpu_microseconds_per_token=run.cpu_seconds * 1e6 / num_tokens if num_tokens else None,
        warning=_warning(late, lag, max_late),
    )


def _warning(late: Distribution | None, lag: Distribution | None, max_late: float) -> str | None:
    """Return in words that the client was the bottleneck, None if it was not."""
    said = []
    if late and late.p99 > max_late:
        said.append(f"1 in 100 requests left it more than {late.p99:.1f} ms late")
    if lag and lag.p99 > max_late:
        said.append(f"it read 1 in 100 times more than {lag.p99:.1f} ms late")
    return f"the client was the bottleneck: {' and '.join(said)}, expected at most {max_late:g} ms" if said else None


def _row(attempt: Attempt, start: float) -> RequestRow:
    return RequestRow(
        number=attempt.planned.number,
        model=attempt.planned.model,
        at=attempt.planned.at,
        sent=None if attempt.sent is None else attempt.sent - start,
        late=_milliseconds(attempt.late),
        input_tokens=attempt.num_input_tokens,
        output_tokens_asked=attempt.planned.output_len,
        output_tokens=attempt.num_output_tokens,
        ttft=_milliseconds(attempt.ttft),
        tpot=_milliseconds(attempt.tpot),
        e2e=_milliseconds(attempt.e2e),
        failure=attempt.failure.kind if attempt.failure else None,
        was_interrupted=not attempt.has_ended,
    )


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * MILLISECONDS
