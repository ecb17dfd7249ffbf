"""The report of a load as tables for a terminal."""

from collections.abc import Iterator

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ...specs.files.printable import one_line
from ..load.distribution import Distribution
from ..load.load_report import ClientSummary, Goodput, LoadReport, ModelSummary

_COLUMNS = ("mean", "p50", "p90", "p99", "max")


def render_load(report: LoadReport) -> RenderableType:
    """Return a report as a sentence, a table of times, one of models, and how the client kept up."""
    return Group(*_parts(report))


def _parts(report: LoadReport) -> Iterator[RenderableType]:
    yield Text(_counts(report))
    for failures in report.failures:
        told = f"{failures.count} failed: {failures.kind}: {failures.example}"
        yield Text(one_line(told), style="red")
    yield _times(report)
    yield Text(
        f"{report.requests_per_second:.2f} requests/s, {report.output_tokens_per_second:,.1f} output tokens/s, "
        f"{report.total_tokens_per_second:,.1f} tokens/s"
    )
    if report.goodput:
        yield Text(_goodput(report.goodput))
    yield _models(report)
    if report.jains_index is not None:
        yield Text(f"Jain's index of tokens served for each asked: {report.jains_index:.3f} over {report.num_models}")
    yield from _client(report.client)


def _counts(report: LoadReport) -> str:
    parts = [f"{report.num_succeeded} of {report.num_planned} requests answered in {report.seconds:.1f} s"]
    if report.num_failed:
        parts.append(f"{report.num_failed} failed")
    if report.num_interrupted:
        parts.append(f"{report.num_interrupted} interrupted")
    if report.num_sent < report.num_planned:
        parts.append(f"{report.num_planned - report.num_sent} not sent")
    return ", ".join(parts)


def _times(report: LoadReport) -> Table:
    table = _table("ms", *_COLUMNS)
    latencies = report.latencies
    rows = {"TTFT": latencies.ttft, "TPOT": latencies.tpot, "ITL": latencies.itl, "E2E": latencies.e2e}
    for name, distribution in rows.items():
        table.add_row(name, *_cells(distribution, _COLUMNS))
    return table


def _goodput(goodput: Goodput) -> str:
    limits = {"TTFT": goodput.ttft, "TPOT": goodput.tpot, "E2E": goodput.e2e}
    told = ", ".join(f"{name} ≤ {limit:g} ms" for name, limit in limits.items() if limit is not None)
    return f"goodput {goodput.requests_per_second:.2f} requests/s ({goodput.share:.1%} with {told})"


def _models(report: LoadReport) -> Table:
    table = _table("model", "sent", "failed", "asked", "served", "TTFT p50", "p99", "TPOT p50", "p99", "E2E p99")
    for model in (*report.busiest, *([report.rest] if report.rest else [])):
        table.add_row(*_model(model))
    return table


def _model(model: ModelSummary) -> list[str]:
    name = one_line(model.name) if model.num_models == 1 else f"{model.name} ({model.num_models})"
    counts = (model.num_requests, model.num_failed, model.num_tokens_asked, model.num_tokens_served)
    times = model.latencies
    return [
        name,
        *(f"{count:,}" for count in counts),
        *_cells(times.ttft, ("p50", "p99")),
        *_cells(times.tpot, ("p50", "p99")),
        *_cells(times.e2e, ("p99",)),
    ]


def _client(client: ClientSummary) -> Iterator[Text]:
    delays = {"sent": client.late, "read": client.lag}
    told = [f"{what} late by {_delay(late)} ms" for what, late in delays.items() if late]
    token = client.cpu_microseconds_per_token
    each = "" if token is None else f", {token:.0f} µs a token"
    yield Text("client: " + "; ".join((*told, f"{client.cpu_share:.0%} of a core{each}")), style="dim")
    if client.warning:
        yield Text(f"! {client.warning}", style="yellow")


def _delay(late: Distribution) -> str:
    return f"p50 {late.p50:.1f}, p99 {late.p99:.1f}, max {late.max:.1f}"


def _cells(distribution: Distribution | None, names: tuple[str, ...]) -> list[str]:
    return ["-" if distribution is None else f"{getattr(distribution, name):,.2f}" for name in names]


def _table(first: str, *others: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(first, overflow="fold")
    for name in others:
        table.add_column(name, justify="right")
    return table
