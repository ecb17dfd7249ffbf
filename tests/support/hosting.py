"""A host of jobs for a test, and what it is asked."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from verilora.serving.workers.host_client import JobHost

# Far more than anything takes.
LONG = 60.0
Body = Callable[[JobHost], Coroutine[Any, Any, None]]


@asynccontextmanager
async def hosting(*tables: str, **options: Any) -> AsyncIterator[JobHost]:
    """Yield a host that knows the jobs of some modules; those of tests are found, too."""
    found = os.environ.get("PYTHONPATH", "")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), found])
    host = JobHost(tables, **options)
    try:
        await host.start()
        yield host
    finally:
        os.environ["PYTHONPATH"] = found
        await host.close()


def with_host(body: Body, *tables: str, **options: Any) -> None:
    """Run what a test does with a host."""

    async def run() -> None:
        async with hosting(*tables, **options) as host:
            await body(host)

    asyncio.run(run())


async def until(is_so: Callable[[], bool]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(LONG):
        while not is_so():
            await asyncio.sleep(0.01)
