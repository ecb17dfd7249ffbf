"""What holds up the event loop is seen."""

import asyncio
import time

from verilora.serving.server.loop_lag import LoopLag


def test_a_held_up_loop_is_late_by_that_much_once() -> None:
    async def hold_up() -> tuple[float, float]:
        lag = LoopLag()
        watching = asyncio.create_task(lag.watch())
        await asyncio.sleep(0.01)
        time.sleep(0.3)
        await asyncio.sleep(0.01)
        found = lag.take()
        watching.cancel()
        return found, lag.take()

    first, second = asyncio.run(hold_up())
    assert first > 0.2
    assert second == 0
