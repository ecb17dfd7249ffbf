"""Labels stay few however many adapters there are."""

import asyncio
import re
import time

from verilora.serving.server.metrics import OTHER, Busiest, Metrics
from verilora.serving.wire.engine_host import EngineState
from verilora.serving.wire.messages import Stats


class Engine:
    """An engine's figures alone."""

    stats = Stats(pages_free=3, pages_kv=2, num_running=1)
    state = EngineState.READY
    num_restarts = 0


def test_the_busiest_have_labels_and_seldom_lose_them() -> None:
    busiest = Busiest(2)
    assert [busiest.label(name) for name in ("a", "b", "a", "b")] == [("a", None), ("b", None)] * 2
    assert [busiest.label("c") for _ in range(4)] == [(OTHER, None)] * 4
    # Twice as often as the least asked, and once more.
    assert busiest.label("c") == ("c", "a")
    assert busiest.label("a") == (OTHER, None)


def test_a_page_of_two_thousand_adapters_is_small() -> None:
    metrics = Metrics(Engine())  # type: ignore[arg-type]
    for turn in range(3):
        for number in range(2000):
            metrics.adapter_requests.labels(metrics.label(f"adapter-{number * (turn + 1) % 2000}")).inc()
    for _ in range(20):
        metrics.adapter_requests.labels(metrics.label("busy")).inc()
    page = metrics.page().decode()
    labels = re.findall(r'^verilora_adapter_requests_total\{model="(.*?)"\}', page, re.MULTILINE)
    assert len(labels) == 51
    assert {OTHER, "busy"} < {*labels}
    assert len(page) < 30_000
    assert 'verilora_pool_pages{owner="kv"} 2.0' in page
    assert "verilora_engine_ready 1.0" in page


def test_each_delay_of_the_event_loop_is_told() -> None:
    metrics = Metrics(Engine())  # type: ignore[arg-type]

    async def hold_up() -> None:
        watching = asyncio.create_task(metrics.lag.watch())
        await asyncio.sleep(0.01)
        time.sleep(0.3)
        await asyncio.sleep(0.01)
        watching.cancel()

    asyncio.run(hold_up())
    page = metrics.page().decode()
    assert 'verilora_event_loop_late_seconds_bucket{le="0.2"} 0.0' in page
    assert "verilora_event_loop_late_seconds_count 1.0" in page
