"""Drawings of learned worlds: a table of shades, from each label down the side to the labels along the top."""

from xml.sax.saxutils import escape

from ...specs.learned_world import Label, LearnedWorld
from ...specs.vocabulary import Vocabulary
from .world_table import words

CELL, MARGIN, HEAD = 34, 24, 30
CHARACTER = 6.6
"""Width of a character of the font in pixels, on the large side."""


def draw_chain(learned: LearnedWorld, vocabulary: Vocabulary) -> str:
    """Return a learned world as a self-contained SVG; a cell's shade is a probability, its title the counts."""
    counts = {(transition.source, transition.target): transition.count for transition in learned.transitions}
    targets = sorted({target for _, target in counts}, key=_order)
    sources: list[Label | None] = [None, *targets]
    names = {label: words(label, vocabulary) for label in sources}
    left = MARGIN + CHARACTER * max(map(len, names.values())) + 60
    top = MARGIN + HEAD
    width, height = left + CELL * len(targets) + MARGIN, top + CELL * len(sources) + MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
        f'height="{height:.0f}" role="img" font-family="sans-serif" font-size="12">',
        f"<title>{escape(learned.world)} over {escape(', '.join(learned.propositions))}</title>",
        '<rect width="100%" height="100%" fill="white"/>',
    ]
    for column in range(len(targets)):
        parts.append(_text(left + CELL * (column + 0.5), top - 8, str(column + 1), "middle"))
    for row, source in enumerate(sources):
        y = top + CELL * row
        number = f"{row}  " if row else ""
        parts.append(_text(left - 8, y + CELL * 0.62, f"{names[source]}  {number}", "end"))
        total = sum(counts.get((source, target), 0) for target in targets)
        for column, target in enumerate(targets):
            count = counts.get((source, target), 0)
            title = f"{names[source]} → {names[target]}: {count} of {total}"
            parts.append(_cell(left + CELL * column, y, count / total if total else 0.0, title))
    return "\n".join([*parts, "</svg>"]) + "\n"


def _cell(x: float, y: float, share: float, title: str) -> str:
    # Never seen is white; the least that was seen can be told from it.
    shade = 0.0 if share == 0 else 0.08 + 0.92 * share
    number = f"{share * 100:.0f}" if share >= 0.005 else "·" if share else ""
    colour = "white" if shade > 0.55 else "#1f2937"
    return (
        f"<g><title>{escape(title)}</title>"
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{CELL}" height="{CELL}" fill="#1d4ed8" '
        f'fill-opacity="{shade:.3f}" stroke="#d1d5db"/>'
        f'<text x="{x + CELL / 2:.1f}" y="{y + CELL * 0.62:.1f}" text-anchor="middle" fill="{colour}">{number}</text>'
        "</g>"
    )


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="#1f2937">{escape(text)}</text>'


def _order(label: Label) -> tuple[int, Label]:
    return len(label), label
