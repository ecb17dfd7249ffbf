"""Registers adapters one after the other in a state folder, and says so, until it is killed.

    python registering.py STATE ROOT NUM_LAYERS WIDTH ...

The widths are those of q, k, v, o, gate, up and down, (in, out) of each.
"""

import asyncio
import sys
from itertools import count
from pathlib import Path

from verilora.serving.adapters.adapter_settings import AdapterSettings
from verilora.serving.models.projections import Projections

from served_adapters import BASE, ListeningEngine, managing

_NAMES = ("q", "k", "v", "o", "gate", "up", "down")


async def register(state: str, root: str, num_layers: str, *widths: str) -> None:
    """Update a few names with all adapters that lie under the root, again and again."""
    measures = [*map(int, widths)]
    both = zip(measures[::2], measures[1::2], strict=True)
    projections = Projections(num_layers=int(num_layers), widths=dict(zip(_NAMES, both, strict=True)))
    settings = AdapterSettings(
        base_name="base", base_digest=BASE, projections=projections, state=Path(state), roots=(Path(root),)
    )
    folders = sorted(path.name for path in Path(root).iterdir())
    async with managing(settings, ListeningEngine()) as manager:
        for number in count():
            record = await manager.add(f"name-{number % 3}", folders[number % len(folders)], replace=True)
            print(record.name, record.version, record.digest, flush=True)


if __name__ == "__main__":
    asyncio.run(register(*sys.argv[1:]))
