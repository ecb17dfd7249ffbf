"""Requests for one adapter do not notice what happens to others."""

import asyncio
import threading
from itertools import cycle
from pathlib import Path
from shutil import copytree

import pytest

from verilora.serving.load.client import LoadClient
from verilora.serving.load.load_run import LoadRun, run_load
from verilora.serving.load.target import Target
from verilora.serving.load.workload.arrivals import Arrivals
from verilora.serving.load.workload.lengths import LengthRange
from verilora.serving.load.workload.plan import Workload, plan_requests

from damaged_adapters import WEIGHTS, cut
from rotation import LOAD, reseeded
from servers import Served, until

UNLOAD = "/v1/unload_lora_adapter"
RATE = 50


@pytest.fixture(scope="module")
def server(rotating: Served, root: Path, adapter_folder: Path) -> Served:
    for seed in range(6):
        reseeded(adapter_folder, root / f"good-{seed}", seed)
    cut(copytree(root / "good-0", root / "bad"))
    return rotating


class Churn:
    """Adapters that come, change, fail and go, one after the other, until it is stopped."""

    def __init__(self, served: Served) -> None:
        self.statuses: dict[str, set[int]] = {}
        self._served = served
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Churn":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        for seed in cycle(range(1, 6)):
            if self._stop.is_set():
                return
            self._ask("load", LOAD, lora_name="churn", lora_path=f"good-{seed}")
            # Somebody uses it, too.
            self._ask("use", "/v1/completions", model="churn", prompt="turn", max_tokens=2)
            self._ask("update", LOAD, lora_name="churn", lora_path=f"good-{seed % 5 + 1}", load_inplace=True)
            self._ask("fail", LOAD, lora_name="churn", lora_path="bad", load_inplace=True)
            self._ask("missing", LOAD, lora_name="other", lora_path="nowhere")
            self._ask("use", "/v1/completions", model="churn", prompt="turn", max_tokens=2)
            self._ask("unload", UNLOAD, lora_name="churn")

    def _ask(self, what: str, path: str, **body: object) -> None:
        self.statuses.setdefault(what, set()).add(self._served.ask("POST", path, body)[0])


@pytest.mark.parametrize("seconds", [4, pytest.param(60, marks=pytest.mark.slow)])
def test_vllm_11727_13698_none_fails_while_others_load_update_fail_and_unload(server: Served, seconds: int) -> None:
    for seed in range(3):
        body = {"lora_name": f"steady-{seed}", "lora_path": f"good-{seed}", "load_inplace": True}
        assert server.ask("POST", LOAD, body)[0] == 200
    with Churn(server) as churn:
        run = asyncio.run(load(server, seconds))
    assert [attempt.failure for attempt in run.attempts if not attempt.has_succeeded] == []
    assert len(run.attempts) == seconds * RATE
    assert churn.statuses == {
        "load": {200},
        "use": {200},
        "update": {200},
        "fail": {400},
        "missing": {404},
        "unload": {200},
    }
    told = server.ask("GET", "/v1/adapters/churn")[1]
    assert (told["state"], told["last_error"].partition(":")[0]) == ("failed", WEIGHTS)
    until(server.is_idle)
    assert server.metric("verilora_engine_restarts_total") == 0


async def load(server: Served, seconds: int) -> LoadRun:
    """Send so many requests a second to the base model and three adapters, each when it is due."""
    workload = Workload(
        num_requests=seconds * RATE,
        arrivals=Arrivals(rate=RATE),
        input_len=LengthRange(4, 12),
        output_len=LengthRange(2, 6),
    )
    target = Target(url=server.url, ignore_eos=True)
    models = ["base", *(f"steady-{seed}" for seed in range(3))]
    requests = [(planned, target.body(planned)) for planned in plan_requests(workload, models)]
    async with LoadClient.of(target) as client:
        return await run_load(requests, client.send)
