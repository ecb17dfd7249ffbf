"""A server in a process of its own, as users start it, and what is read of it while it serves."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
PATIENCE, LAST_SECONDS = 600.0, 60.0
LATE = "verilora_event_loop_late_seconds"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Seconds of CPU of the two processes, and how many timers of the front were at most so many seconds late."""

    front_cpu: float
    engine_cpu: float
    late: dict[float, float]


@dataclass(frozen=True, slots=True)
class Served:
    """A server that is ready: `process_id` is that of its front."""

    process_id: int
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, str]:
        """Return the status and the text of an answer."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        sent = None if body is None else json.dumps(body)
        connection.request(method, path, sent, {"Content-Type": "application/json"})
        response = connection.getresponse()
        text = response.read().decode()
        connection.close()
        return response.status, text

    def figures(self) -> Figures:
        """Return what the server has done since its start."""
        _, text = self.ask("GET", "/metrics")
        late = re.findall(rf'^{LATE}_bucket{{le="(.*?)"}} (\S+)$', text, flags=re.MULTILINE)
        return Figures(
            front_cpu=cpu_seconds(self.process_id),
            engine_cpu=cpu_seconds(self._engine()),
            late={float(bound): float(count) for bound, count in late},
        )

    def _engine(self) -> int:
        children = Path(f"/proc/{self.process_id}/task/{self.process_id}/children").read_text().split()
        return next(int(one) for one in children if b"engine_process" in Path(f"/proc/{one}/cmdline").read_bytes())


def cpu_seconds(process_id: int) -> float:
    """Return the CPU time of a process, all its threads together."""
    fields = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
    # User and system time, 14th and 15th of the line.
    return (int(fields[11]) + int(fields[12])) / TICKS


@contextmanager
def serving(log: Path, *arguments: str) -> Iterator[Served]:
    """Start a server on a free port, wait until it is ready, and end it."""
    command = [sys.executable, "-m", "verilora", "serve", "--port", "0", *arguments]
    with log.open("wb") as errors:
        process = subprocess.Popen(command, stderr=errors, stdin=subprocess.DEVNULL)
    try:
        yield _ready(process, log)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(LAST_SECONDS)


def _ready(process: "subprocess.Popen[bytes]", log: Path) -> Served:
    patience = time.monotonic() + PATIENCE
    served = None
    while time.monotonic() < patience and process.poll() is None:
        if served is None:
            found = re.search(r'"port": (\d+)', log.read_text())
            served = Served(process.pid, int(found[1])) if found else None
        elif served.ask("GET", "/ready")[0] == 200:
            return served
        time.sleep(0.1)
    raise RuntimeError(f"the server did not become ready: {log.read_text()[-4000:]}")


def quantile(before: dict[float, float], after: dict[float, float], share: float) -> float:
    """Return a quantile of a histogram between two moments, as Prometheus reckons it: even within a bucket."""
    counts = {bound: after[bound] - before.get(bound, 0.0) for bound in sorted(after)}
    rank, low, below = share * counts[max(counts)], 0.0, 0.0
    for bound, count in counts.items():
        if count >= rank and count > below:
            return low if bound == float("inf") else low + (bound - low) * (rank - below) / (count - below)
        low, below = bound, count
    return low
