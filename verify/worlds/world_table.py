"""A learned world as text: what was seen, what was not but is possible, and what is ruled out and why."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from ...specs.learned_world import Label, LearnedWorld
from ...specs.vocabulary import Vocabulary
from ...specs.world_description import WorldDescription
from ..checking.compiled import Compiler
from .learned import ends_of_observation, learned_world, unseen_transitions


def coverage_line(learned: LearnedWorld) -> str:
    """Return in one line how much was seen, and how much was not."""
    found = learned.coverage
    ends = len(ends_of_observation(learned))
    return (
        f"{found['episodes']} episodes, {found['labels']} of {2 ** len(learned.propositions)} labels, "
        f"{found['transitions']} transitions, missing mass {found['missing_mass']:.2%}, "
        f"{found['held_out_leaving']} of {found['held_out_episodes']} held-out episodes leave it "
        f"(at 95 % at most {found['leaving_bound']:.1%})" + (f", {ends} labels that nothing followed" if ends else "")
    )


def render_learned(
    learned: LearnedWorld, description: WorldDescription, vocabulary: Vocabulary
) -> Iterator[RenderableType]:
    """Yield the parts of a learned world for a terminal: seen, possible but unseen, ruled out."""
    yield _seen(learned, vocabulary)
    world = learned_world(learned, description, vocabulary, Compiler())
    assert world.closure is not None
    unseen = unseen_transitions(learned, world.closure.graph)
    number = sum(map(len, unseen.values()))
    yield Text(f"possible but unseen: {number} transitions, which nothing below rules out" + ("" if number else "."))
    if number:
        yield _unseen(unseen, vocabulary)
    yield from ruled_out(learned, description)
    if world.free:
        names = ", ".join(vocabulary.english[name] for name in world.free)
        yield Text(f"free, in any combination at any time: {names}")


def ruled_out(learned: LearnedWorld, description: WorldDescription) -> Iterator[Text]:
    """Yield what can never happen in a world, and why: its constraints, and the exclusions of world and file."""
    reasons = description.constraint_reasons or ("as the world is described",) * len(description.constraints)
    for constraint, reason in zip(description.constraints, reasons, strict=True):
        yield Text(f"constraint: {constraint.text} ({reason})")
    stated = {exclusion.formula: exclusion.reason for exclusion in (*learned.exclusions, *description.exclusions)}
    for formula, reason in stated.items():
        yield Text(f"excluded: {formula.text} ({reason})")
    if not description.constraints and not stated:
        yield Text("no constraint and no exclusion: nothing is ruled out")


def _seen(learned: LearnedWorld, vocabulary: Vocabulary) -> Table:
    """Return the chain as a table: from each label how often to which."""
    rows: dict[Label | None, list[tuple[int, Label]]] = {}
    for transition in learned.transitions:
        rows.setdefault(transition.source, []).append((transition.count, transition.target))
    table = _table("from", "seen", "to, most frequent first")
    for source, targets in rows.items():
        total = sum(count for count, _ in targets)
        following = (
            f"{count / total:.1%} {words(label, vocabulary)}" for count, label in sorted(targets, reverse=True)
        )
        table.add_row(words(source, vocabulary), str(total), "; ".join(following))
    return table


def _unseen(unseen: Mapping[Label | None, Sequence[Label]], vocabulary: Vocabulary) -> Table:
    table = _table("from", "unseen", "to, though possible")
    for source, targets in unseen.items():
        if targets:
            following = "; ".join(words(label, vocabulary) for label in targets)
            table.add_row(words(source, vocabulary), str(len(targets)), following)
    return table


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def words(label: Iterable[str] | None, vocabulary: Vocabulary) -> str:
    """Return a label in words."""
    if label is None:
        return "the start"
    return " + ".join(vocabulary.english[name] for name in label) or "nothing"
