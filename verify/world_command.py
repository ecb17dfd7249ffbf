"""What `verilora world learn` and `verilora world show` do."""

import os
from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.table import Table

from ..envs.recording import record
from ..envs.scenario import SCENARIOS
from ..specs.domain import Domain
from ..specs.errors import SpecError, expected_one_of
from ..specs.learned_world import MAX_PROPOSITIONS, Label, LearnedWorld, learned_world_path, write_learned_world
from ..specs.world_description import Exclusion
from .chain_drawing import draw_chain
from .learned import ends_of_observation
from .learning import learn
from .progress import progress
from .render import console

NUM_EPISODES = 3000
NUM_HELD_OUT = 600
# Of each five episodes three mostly watch, one drives when it is safe, one just drives.
_POLICIES = ("random", "random", "cautious", "random", "bold")


def learn_worlds(
    domain: Domain, recordings: Path, out: Path, num_episodes: int, num_held_out: int, num_processes: int | None
) -> int:
    """Simulate and learn every world that tasks need; resume recordings that were interrupted. Return 0.

    Raises SpecError for a recording made with other settings.
    """
    try:
        # Before hours of driving rather than after them.
        (out / "worlds").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SpecError(out, f"cannot be written: {error.strerror}") from None
    processes = num_processes or os.cpu_count() or 1
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
            )
            write_learned_world(learned_world_path(out, world, propositions), learned)
            console().print(f"  {', '.join(propositions)}: {_coverage(learned)}")
    return 0


def show_worlds(domain: Domain, name: str | None, drawings: Path | None) -> int:
    """Print the learned worlds of a domain; with a name those of one world, transition by transition. Return 0.

    With a folder for drawings, each that is printed is drawn there, too.
    """
    if name is not None and name not in domain.worlds:
        raise SpecError(domain.folder / "worlds.yaml", f"no such world: {expected_one_of(name, domain.worlds)}")
    tasks = {(task.world, frozenset(task.relevant)): task for task in domain.tasks.values()}
    shown = 0
    for task in tasks.values():
        learned = domain.learned_world(task) if name in (None, task.world) else None
        if learned is None:
            continue
        shown += 1
        console().print(f"{learned.world} over {', '.join(learned.propositions)}: {_coverage(learned)}")
        if name is not None:
            console().print(_transitions(learned, domain))
        if drawings is not None:
            path = drawings / learned_world_path(drawings, learned.world, learned.propositions).with_suffix(".svg").name
            try:
                drawings.mkdir(parents=True, exist_ok=True)
                path.write_text(draw_chain(learned, domain.vocabulary))
            except OSError as error:
                raise SpecError(path, f"cannot be written: {error.strerror}") from None
            console().print(f"drawn in {path}")
    if not shown:
        console().print("No learned world ships; `verilora world learn` makes them.")
    return 0


def simulated_worlds(domain: Domain) -> list[str]:
    """Return the worlds that tasks need; raises SpecError if none of them can be simulated."""
    needed = dict.fromkeys(task.world for task in domain.tasks.values())
    worlds = [world for world in needed if world in SCENARIOS]
    if not worlds:
        raise SpecError(
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
                raise SpecError(domain.folder / "tasks.yaml", f"{expected}, {got}", field=task.id)
            sets[frozenset(task.relevant)] = None
    return [tuple(name for name in domain.vocabulary.proposition_ids if name in chosen) for chosen in sets]


def _exclusions(domain: Domain, world: str, propositions: Sequence[str]) -> list[Exclusion]:
    return [
        exclusion for exclusion in domain.world(world).exclusions if exclusion.formula.propositions <= {*propositions}
    ]


def _coverage(learned: LearnedWorld) -> str:
    found = learned.coverage
    ends = len(ends_of_observation(learned))
    return (
        f"{found['episodes']} episodes, {found['labels']} of {2 ** len(learned.propositions)} labels, "
        f"{found['transitions']} transitions, missing mass {found['missing_mass']:.2%}, "
        f"{found['held_out_leaving']} of {found['held_out_episodes']} held-out episodes leave it "
        f"(at 95 % at most {found['leaving_bound']:.1%})" + (f", {ends} labels that nothing followed" if ends else "")
    )


def _transitions(learned: LearnedWorld, domain: Domain) -> Table:
    """Return the chain as a table: from each label how often to which."""
    rows: dict[Label | None, list[tuple[int, Label]]] = {}
    for transition in learned.transitions:
        rows.setdefault(transition.source, []).append((transition.count, transition.target))
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("from", "seen", "to, most frequent first"):
        table.add_column(column, overflow="fold")
    for source, targets in rows.items():
        total = sum(count for count, _ in targets)
        following = (f"{count / total:.1%} {_words(label, domain)}" for count, label in sorted(targets, reverse=True))
        table.add_row("the start" if source is None else _words(source, domain), str(total), "; ".join(following))
    return table


def _words(label: Label, domain: Domain) -> str:
    return " + ".join(domain.vocabulary.english[name] for name in label) or "nothing"
