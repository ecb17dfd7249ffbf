"""What `verilora world record` does."""

import os
from functools import partial
from pathlib import Path

from ...envs.recording import provenance
from ...envs.waiting import SECONDS, record_wait, wait_jobs
from ...specs.domain import Domain
from ...specs.files.errors import InputError
from ...specs.files.printable import complain
from ...specs.learned_world import LABELS
from ...specs.processes.workers import in_order
from ...specs.recorded_waits import FORMAT, RecordedWaits, Wait, recorded_waits_path, write_recorded_waits
from .terminal import INTERRUPTED, console, progress
from .world_command import simulated_worlds


def record_waits(domain: Domain, out: Path, num_processes: int | None) -> int:
    """Record the waits of every world that tasks need, the same bytes each time. Return 0, or 130 if interrupted.

    Raises InputError if they cannot be written.
    """
    try:
        (out / "recordings").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(out, f"cannot be written: {error.strerror}") from None
    try:
        for world in simulated_worlds(domain):
            path = recorded_waits_path(out, world)
            waits = _record(domain, world, num_processes or os.cpu_count() or 1)
            write_recorded_waits(path, waits)
            console().print(f"  {len(waits.waits)} waits of {SECONDS} s in {path}")
    except KeyboardInterrupt:
        complain("interrupted: worlds that were not finished keep the recordings they had")
        return INTERRUPTED
    return 0


def _record(domain: Domain, world: str, num_processes: int) -> RecordedWaits:
    jobs = wait_jobs(world)
    waits: list[Wait] = []
    with progress(console(), world, len(jobs)) as report:
        work = partial(record_wait, world, domain.vocabulary)
        for number, wait in enumerate(in_order(work, jobs, num_processes), start=1):
            waits += [wait] if wait is not None else []
            report(number)
    return RecordedWaits(
        format=FORMAT,
        labels=LABELS,
        world=world,
        propositions=domain.vocabulary.proposition_ids,
        waits=tuple(waits),
        provenance=provenance(world, domain.vocabulary),
    )
