"""What `verilora world learn` and `verilora world show` do."""

import os
from collections.abc import Sequence
from pathlib import Path

from ...envs.recording import record
from ...envs.scenario import SCENARIOS
from ...specs.domain import Domain
from ...specs.files.errors import InputError, expected_one_of
from ...specs.files.printable import complain, printable
from ...specs.learned_world import MAX_PROPOSITIONS, learned_world_path, write_learned_world
from ...specs.world_description import Exclusion
from ..worlds.chain_drawing import draw_chain
from ..worlds.learning import learn
from ..worlds.world_table import coverage_line, render_learned
from .terminal import INTERRUPTED, console, progress

# Of each five episodes three mostly watch, one drives when it is safe, one just drives.
_POLICIES = ("random", "random", "cautious", "random", "bold")


def learn_worlds(
    domain: Domain, recordings: Path, out: Path, num_episodes: int, num_held_out: int, num_processes: int | None
) -> int:
    """Simulate and learn every world that tasks need; resume recordings that were interrupted.

    Return 0, or 130 if it is interrupted: what was recorded until then is kept. Raises InputError for a recording made
    with other settings.
    """
    try:
        # Before hours of driving rather than after them.
        (out / "worlds").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(out, f"cannot be written: {error.strerror}") from None
    try:
        _learn_worlds(domain, recordings, out, num_episodes, num_held_out, num_processes or os.cpu_count() or 1)
    except KeyboardInterrupt:
        complain(f"interrupted: {recordings} keeps what is recorded; the same command goes on from there")
        return INTERRUPTED
    return 0


def _learn_worlds(
    domain: Domain, recordings: Path, out: Path, num_episodes: int, num_held_out: int, processes: int
) -> None:
    total = num_episodes + num_held_out
    jobs = [(_POLICIES[seed % len(_POLICIES)], seed) for seed in range(total)]
    for world in simulated_worlds(domain):
        with progress(console(), world, total) as report:
            recording = record(recordings / f"{world}.jsonl", world, jobs, domain.vocabulary, processes, report)
        letters = [episode.letters for episode in recording.episodes]
        for propositions in projections(domain, world):
            learned = learn(
                world,
                propositions,
                letters[:num_episodes],
                _exclusions(domain, world, propositions),
                {**recording.provenance, "seeds": f"0 to {num_episodes - 1}", "policies": list(_POLICIES)},
                letters[num_episodes:],
                labels=recording.provenance["labels"],
            )
            write_learned_world(learned_world_path(out, world, propositions), learned)
            console().print(f"  {', '.join(propositions)}: {coverage_line(learned)}")


def show_worlds(domain: Domain, name: str | None, drawings: Path | None) -> int:
    """Print the learned worlds of a domain; with a name those of one world, transition by transition. Return 0.

    Of one world also what was never seen but is possible, and what is ruled out and why. With a folder for drawings,
    each that is printed is drawn there, too.
    """
    if name is not None and name not in domain.worlds:
        raise InputError(domain.folder / "worlds.yaml", f"no such world: {expected_one_of(name, domain.worlds)}")
    tasks = {(task.world, frozenset(task.relevant)): task for task in domain.tasks.values()}
    shown = 0
    for task in tasks.values():
        learned = domain.learned_world(task) if name in (None, task.world) else None
        if learned is None:
            continue
        shown += 1
        console().print(f"{learned.world} over {', '.join(learned.propositions)}: {coverage_line(learned)}")
        if name is not None:
            console().print(*render_learned(learned, domain.world(name), domain.vocabulary), sep="\n")
        if drawings is not None:
            path = drawings / learned_world_path(drawings, learned.world, learned.propositions).with_suffix(".svg").name
            try:
                drawings.mkdir(parents=True, exist_ok=True)
                path.write_text(printable(draw_chain(learned, domain.vocabulary)), encoding="utf-8")
            except OSError as error:
                raise InputError(path, f"cannot be written: {error.strerror}") from None
            console().print(f"drawn in {path}")
    if not shown:
        console().print("No learned world ships; `verilora world learn` makes them.")
    return 0


def simulated_worlds(domain: Domain) -> list[str]:
    """Return the worlds that tasks need; raises InputError if none of them can be simulated."""
    needed = dict.fromkeys(task.world for task in domain.tasks.values())
    worlds = [world for world in needed if world in SCENARIOS]
    if not worlds:
        raise InputError(
            domain.folder / "worlds.yaml", f"no world can be simulated: expected one of {', '.join(SCENARIOS)}"
        )
    return worlds


def projections(domain: Domain, world: str) -> list[tuple[str, ...]]:
    """Return the sets of propositions that the tasks of a world turn on, each in the vocabulary's order."""
    sets: dict[frozenset[str], None] = {}
    for task in domain.tasks.values():
        if task.world == world:
            constant = ", ".join(name for name in task.relevant if name not in domain.world(world).free)
            if constant or len(task.relevant) > MAX_PROPOSITIONS:
                expected = f"expected at most {MAX_PROPOSITIONS} relevant propositions, all free, to learn a world"
                got = f"got {len(task.relevant)}" + (f", of which constant: {constant}" if constant else "")
                raise InputError(domain.folder / "tasks.yaml", f"{expected}, {got}", field=task.id)
            sets[frozenset(task.relevant)] = None
    return [tuple(name for name in domain.vocabulary.proposition_ids if name in chosen) for chosen in sets]


def _exclusions(domain: Domain, world: str, propositions: Sequence[str]) -> list[Exclusion]:
    return [
        exclusion for exclusion in domain.world(world).exclusions if exclusion.formula.propositions <= {*propositions}
    ]
