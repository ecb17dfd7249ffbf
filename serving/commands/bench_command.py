"""What `verilora bench` does: it plans a load, sends it to a server and tells what was measured."""

import asyncio
import gc
import json
import os
import resource
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from ...specs.files.atomic import write_json
from ...specs.files.errors import InputError
from ...verify.commands.terminal import INTERRUPTED, PlainConsole, console, progress
from ..load.attempt import Failed, FailureKind
from ..load.client import LoadClient
from ..load.load_report import LoadReport
from ..load.load_run import LoadRun, run_load
from ..load.summary import summarize
from ..load.workload.arrivals import Arrivals
from ..load.workload.model_names import model_names
from ..load.workload.plan import plan_requests
from ..load.workload.trace import TraceRow, read_trace
from .bench_request import KEY_VARIABLE, BenchRequest
from .render_load import render_load

_NO_SERVER = (FailureKind.CONNECTION, FailureKind.TIMEOUT, FailureKind.CUT_OFF)


def bench_server(request: BenchRequest) -> int:
    """Measure a server, print or write the report and return the exit code; raises InputError.

    A Ctrl-C ends it with what was measured until then.
    """
    _check_out(request.out)
    trace = read_trace(request.trace) if request.trace else None
    _allow_many_connections()
    started_at = datetime.now(UTC).isoformat(timespec="seconds")
    run = asyncio.run(_measure(request, trace))
    report = summarize(
        run,
        request.options(),
        version=request.version,
        started_at=started_at,
        objective=request.objective,
        num_busiest=request.num_busiest,
        max_late=request.max_late,
    )
    _tell(report, request)
    if run.was_stopped:
        return INTERRUPTED
    return 1 if report.num_failed else 0


def _tell(report: LoadReport, request: BenchRequest) -> None:
    content = asdict(report)
    if request.out:
        write_json(request.out, content)
    if request.as_json:
        print(json.dumps(content, indent=2, allow_nan=False))
    else:
        console().print(render_load(report))


async def _measure(request: BenchRequest, trace: Sequence[TraceRow] | None) -> LoadRun:
    stop = asyncio.Event()
    async with LoadClient.of(request.target) as client:
        names = model_names(request.models, request.num_models, await _offered(client, request))
        planned = plan_requests(request.workload, names, trace)
        bodies = [(one, request.target.body(one)) for one in planned]
        with _stopping(stop):
            await _warm_up(client, request, names, stop)
            # The collector of garbage went through plan and bodies again and again, for tens of milliseconds each time.
            gc.collect()
            gc.freeze()
            with progress(_progress_console(request), "requests", len(bodies)) as report:
                return await run_load(bodies, client.send, concurrency=request.concurrency, stop=stop, report=report)


async def _warm_up(client: LoadClient, request: BenchRequest, names: Sequence[str], stop: asyncio.Event) -> None:
    """Send requests that are not measured; they have other prompts than those that are."""
    if request.num_warm_up:
        workload = replace(
            request.workload,
            num_requests=request.num_warm_up,
            arrivals=Arrivals(rate=None),
            seed=request.workload.seed + 2**32,
        )
        planned = plan_requests(workload, names)
        bodies = [(one, request.target.body(one)) for one in planned]
        await run_load(bodies, client.send, concurrency=request.concurrency or 8, stop=stop)


async def _offered(client: LoadClient, request: BenchRequest) -> list[str]:
    """Return the models that the server offers; raises InputError where it is not there, or must tell and does not."""
    try:
        return await client.model_names()
    except Failed as failure:
        if failure.kind in ("status 401", "status 403"):
            raise InputError(KEY_VARIABLE, f"the server refuses it, got {failure}, expected a key it knows") from None
        if failure.kind in _NO_SERVER or not request.models:
            raise InputError("--url", f"the server does not tell its models, got {failure}") from None
        return []


@contextmanager
def _stopping(stop: asyncio.Event) -> Iterator[None]:
    """Let a Ctrl-C set an event; the next one is handled as before."""
    before = signal.getsignal(signal.SIGINT)
    # The main thread alone is told of signals.
    if before in (signal.SIG_IGN, None) or threading.current_thread() is not threading.main_thread():
        yield
        return

    def heed() -> None:
        restore()
        stop.set()

    def restore() -> None:
        if loop.remove_signal_handler(signal.SIGINT):
            signal.signal(signal.SIGINT, before)

    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, heed)
    try:
        yield
    finally:
        restore()


def _progress_console(request: BenchRequest) -> Console:
    """Return where progress is told: data that goes to a file or a pipe has none in it."""
    out = console()
    return out if out.is_terminal and not request.as_json else PlainConsole(stderr=True)


def _check_out(out: Path | None) -> None:
    """Raise InputError where the report could not be written, before anything is measured."""
    if out and (out.is_dir() or not os.access(out.absolute().parent, os.W_OK | os.X_OK)):
        raise InputError(out, "cannot be written, expected a file in a folder that is there")


def _allow_many_connections() -> None:
    """Let this process have as many connections as the system lets it."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
