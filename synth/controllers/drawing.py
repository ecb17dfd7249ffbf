"""Drawings of controllers: SVG, made without Graphviz, which a fresh machine lacks.

States stand in one column. An arrow to the next state runs straight down; any other leaves its state sideways, runs in
a lane beside the column (back up on the left, further down on the right) and comes in sideways. Each of its ends has a
slot of its own at its state, and where it leaves, the slot has room for its label: nothing is drawn over a label.
"""

import math
from dataclasses import dataclass
from textwrap import wrap
from xml.sax.saxutils import escape

from .condition import guard_text
from .controller import Controller

# Pixels. Characters are taken to be wide, because the reader's fonts are unknown.
_CHARACTER, _LINE, _BETWEEN, _PAD, _GAP, _LANE, _CORNER, _LOOP, _ARRIVAL = 7.2, 16, 5, 12, 30, 14, 8, 18, 14
_MAX_LINE_LEN = 46
_INK, _IDLE, _ACTIVE = "#1f2937", "#6b7280", "#1d4ed8"


@dataclass(frozen=True, slots=True)
class _Arrow:
    """All edges from one state to another. `lines` are its labels: texts, each with the action that ends it or ''."""

    source: int
    target: int
    lines: tuple[tuple[str, str], ...]

    @property
    def is_straight(self) -> bool:
        return self.target == self.source + 1

    @property
    def is_loop(self) -> bool:
        return self.target == self.source

    @property
    def side(self) -> int:
        """Its side of the column, -1 left or 1 right, and its direction, -1 up or 1 down."""
        return -1 if self.target < self.source else 1

    @property
    def width(self) -> int:
        return math.ceil(_CHARACTER * max(len(text + action) for text, action in self.lines))

    @property
    def height(self) -> int:
        return sum(_LINE + _BETWEEN * bool(action) for _, action in self.lines) - _BETWEEN

    def room(self, state: int) -> int:
        """Return the height of its slot at a state."""
        return self.height + _PAD if state == self.source else _ARRIVAL

    def rank(self, state: int) -> tuple[int, int]:
        """Return what orders the slots of a state from top to bottom such that nested arrows do not cross."""
        other = self.source + self.target - state
        return (other > state) - (other < state), -other


def draw_controller(controller: Controller) -> str:
    """Return an SVG drawing of a controller; actions other than the idle one stand out."""
    return _Drawing(controller).svg()


class _Drawing:
    """Places everything when it is made; `svg` draws it."""

    def __init__(self, controller: Controller) -> None:
        self.names = controller.names
        self.idle = controller.vocabulary.english[controller.vocabulary.idle]
        self.arrows = _arrows(controller)
        self.lanes = _lanes(self.arrows)
        self.half = math.ceil(max(48, *(_CHARACTER * len(name) / 2 + _PAD for name in self.names)))
        self.label_zone, num_lanes = {-1: 0, 1: 0}, {-1: 0, 1: 0}
        for arrow in self.arrows:
            width = self._inset(arrow) + arrow.width + _PAD
            self.label_zone[arrow.side] = max(self.label_zone[arrow.side], width)
            num_lanes[arrow.side] = max(num_lanes[arrow.side], self.lanes.get(arrow, 0))
        left, right = (self.label_zone[side] + _LANE * num_lanes[side] + self.half + _PAD for side in (-1, 1))
        self.center, self.width = left, left + right
        self.tops: list[int] = []
        self.bottoms: list[int] = []
        self.slots: dict[tuple[_Arrow, int], int] = {}
        for state in range(len(self.names)):
            self._place(state)

    def _inset(self, arrow: _Arrow) -> int:
        """Return how far from its state's side a label begins; a straight arrow's begins under the state."""
        return _PAD - self.half if arrow.is_straight else _PAD + arrow.is_loop * (_LOOP + _CORNER)

    def _place(self, state: int) -> None:
        """Place a state below the one before it, and the slots on both of its sides."""
        straight = (arrow.height for arrow in self.arrows if arrow.is_straight and arrow.target == state)
        top = (self.bottoms[-1] if self.bottoms else _PAD) + max(straight, default=0) + _GAP
        sides = [self._ends(state, side) for side in (-1, 1)]
        stacks = [sum(arrow.room(state) for arrow in arrows) for arrows in sides]
        height = max(36, *(stack + 2 * _CORNER for stack in stacks))
        for arrows, stack in zip(sides, stacks, strict=True):
            at = top + (height - stack) // 2
            for arrow in arrows:
                self.slots[arrow, state] = at
                at += arrow.room(state)
        self.tops.append(top)
        self.bottoms.append(top + height)

    def _ends(self, state: int, side: int) -> list[_Arrow]:
        """Return the arrows that leave or enter a state on a side, from top to bottom."""
        bent = (arrow for arrow in self.arrows if arrow.side == side and not arrow.is_straight)
        ends = (arrow for arrow in bent if state in (arrow.source, arrow.target))
        return sorted(ends, key=lambda arrow: arrow.rank(state))

    def svg(self) -> str:
        """Return the document. It has no style sheet, which would reach the rest of an HTML page around it."""
        width, height = self.width, self.bottoms[-1] + _PAD
        states = f"{len(self.names)} states" if len(self.names) > 1 else "one state"
        start = _line(f"M{self.center},{_PAD}", (self.center, self.tops[0]), (0, 1), _INK)
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {width} {height}" width="{width}" '
            f'height="{height}" font-family="Helvetica, Arial, sans-serif" font-size="12" fill="{_INK}">',
            f"<title>Controller of {states} that starts in {escape(self.names[0])}</title>",
            # The page may be dark.
            f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
            f'<g class="start"><circle cx="{self.center}" cy="{_PAD + 2}" r="5"/>{start}</g>',
            *map(self._arrow, self.arrows),
            *map(self._state, self.names, self.tops, self.bottoms),
            "</svg>",
        ]
        return "\n".join(parts) + "\n"

    def _state(self, name: str, top: int, bottom: int) -> str:
        return (
            f'<g class="state"><rect x="{self.center - self.half}" y="{top}" width="{2 * self.half}" '
            f'height="{bottom - top}" rx="{_CORNER}" fill="#f3f4f6" stroke="{_INK}"/><text x="{self.center}" '
            f'y="{(top + bottom) // 2 + 4}" text-anchor="middle" font-weight="bold">{escape(name)}</text></g>'
        )

    def _arrow(self, arrow: _Arrow) -> str:
        parts = [f'<g class="edge" data-from="{arrow.source}" data-to="{arrow.target}">', self._route(arrow)]
        x = self.center + arrow.side * (self.half + self._inset(arrow))
        y = self.bottoms[arrow.source] + _PAD if arrow.is_straight else self.slots[arrow, arrow.source]
        anchor = "start" if arrow.side > 0 else "end"
        for text, action in arrow.lines:
            style = f' font-weight="bold" fill="{_ACTIVE}"' if action != self.idle else ""
            words = f"{escape(text)}<tspan{style}>{escape(action)}</tspan>" if action else escape(text)
            parts.append(f'<text x="{x}" y="{y + _PAD}" text-anchor="{anchor}">{words}</text>')
            y += _LINE + _BETWEEN * bool(action)
        return "".join(parts) + "</g>"

    def _route(self, arrow: _Arrow) -> str:
        color = _IDLE if {action for _, action in arrow.lines} <= {"", self.idle} else _ACTIVE
        if arrow.is_straight:
            begin, end = self.bottoms[arrow.source], self.tops[arrow.target]
            return _line(f"M{self.center},{begin}", (self.center, end), (0, 1), color)
        side, slot = arrow.side, self.slots[arrow, arrow.source]
        edge, bend = self.center + side * self.half, side * _CORNER
        if arrow.is_loop:
            y = slot + arrow.height // 2
            return _line(f"M{edge},{y - 8} h{_LOOP} a8,8 0 0 1 0,16", (edge, y + 8), (-1, 0), color)
        lane = edge + side * (self.label_zone[side] + _LANE * self.lanes[arrow])
        begin, end = slot + arrow.height + 3, self.slots[arrow, arrow.target] + _ARRIVAL // 2
        path = f"M{edge},{begin} H{lane - bend} Q{lane},{begin} {lane},{begin + bend}"
        return _line(f"{path} V{end - bend} Q{lane},{end} {lane - bend},{end}", (edge, end), (-side, 0), color)


def _arrows(controller: Controller) -> list[_Arrow]:
    """Return the edges with those of one source and one target merged."""
    lines: dict[tuple[int, int], list[tuple[str, str]]] = {}
    for state, edges in enumerate(controller.states):
        for edge in edges:
            label = _label(guard_text(edge.guard, controller.vocabulary), controller.vocabulary.english[edge.action])
            lines.setdefault((state, edge.target), []).extend(label)
    return [_Arrow(source, target, tuple(labels)) for (source, target), labels in lines.items()]


def _label(guard: str, action: str) -> list[tuple[str, str]]:
    """Return the lines of one edge; the last one ends in the arrow and the action."""
    # Text does not break at no-break spaces.
    end = f"→ {action}".replace(" ", "\xa0")
    *texts, last = wrap(f"{guard} {end}", _MAX_LINE_LEN, break_long_words=False, break_on_hyphens=False)
    return [*((text, "") for text in texts), (f"{last.removesuffix(end)}→ ", action)]


def _lanes(arrows: list[_Arrow]) -> dict[_Arrow, int]:
    """Return the lane of each arrow that needs one, from 1: outside those of all shorter arrows that it passes."""
    lanes: dict[_Arrow, int] = {}
    bent = [arrow for arrow in arrows if not arrow.is_straight and not arrow.is_loop]
    for arrow in sorted(bent, key=lambda arrow: (abs(arrow.target - arrow.source), arrow.source)):
        lanes[arrow] = 1 + max((lane for other, lane in lanes.items() if _pass(arrow, other)), default=0)
    return lanes


def _pass(left: _Arrow, right: _Arrow) -> bool:
    """Return whether two arrows run side by side somewhere."""
    starts, ends = zip(*(sorted((arrow.source, arrow.target)) for arrow in (left, right)), strict=True)
    return left.side == right.side and max(starts) < min(ends)


def _line(path: str, tip: tuple[int, int], heading: tuple[int, int], color: str) -> str:
    """Return a path that goes on to a tip, and its arrowhead (a `marker` would need an id, unique in an HTML page)."""
    (x, y), (right, down) = tip, heading
    path = f'<path d="{path} L{x - 4 * right},{y - 4 * down}" fill="none" stroke="{color}" stroke-width="1.5"/>'
    back_x, back_y = x - 8 * right, y - 8 * down
    corners = f"{back_x + 4 * down},{back_y + 4 * right} {back_x - 4 * down},{back_y - 4 * right}"
    return f'{path}<polygon points="{x},{y} {corners}" fill="{color}"/>'
