"""Curves: how one quantity moved over the steps of training, as inline SVG in the colours of the page."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, isfinite, log10

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 360, 210, 46, 12, 14, 34
Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Series:
    """One quantity: its name and its points, by number of steps. `breaks` are where a new round begins."""

    name: str
    points: tuple[Point, ...]
    breaks: tuple[float, ...] = ()


def curve(series: Series) -> str:
    """Return an SVG curve with axes; a quantity that was never logged gives an empty string."""
    points = [point for point in series.points if isfinite(point[1])]
    if not points:
        return ""
    steps = [step for step, _ in points]
    ticks = _ticks(min(value for _, value in points), max(value for _, value in points))
    x_ticks = [tick for tick in _ticks(min(steps), max(steps), most=5) if min(steps) <= tick <= max(steps)]
    frame = _Frame(min(steps), max(steps), ticks[0], ticks[-1])
    (_, first), (last_step, last) = points[0], points[-1]
    told = f"{series.name}: {first:.3g} at the first step logged, {last:.3g} at step {last_step:g}"
    path = " ".join(f"{frame.x(step):.1f},{frame.y(value):.1f}" for step, value in points)
    end = f'<circle cx="{frame.x(last_step):.1f}" cy="{frame.y(last):.1f}" r="3.5"/>'
    return "".join(
        (
            f'<svg class="curve" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{told}">',
            *(_horizontal(frame, tick) for tick in ticks),
            *(_below(frame, tick) for tick in x_ticks),
            *(_break(frame, at) for at in series.breaks if min(steps) < at < max(steps)),
            f'<g class="after"><polyline class="line" points="{path}"/>{end}</g>',
            f'<text x="{(LEFT + WIDTH - RIGHT) / 2:.0f}" y="{HEIGHT - 3}" text-anchor="middle">step</text></svg>',
        )
    )


@dataclass(frozen=True, slots=True)
class _Frame:
    """Where values lie in the picture."""

    first: float
    last: float
    low: float
    high: float

    def x(self, step: float) -> float:
        span = self.last - self.first
        return LEFT + (WIDTH - LEFT - RIGHT) * ((step - self.first) / span if span else 0.5)

    def y(self, value: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (1 - (value - self.low) / (self.high - self.low))


def _ticks(low: float, high: float, most: int = 5) -> Sequence[float]:
    """Return round numbers, evenly apart, from at most `low` to at least `high`."""
    span = (high - low) or abs(high) or 1.0
    raw = span / most
    power = 10.0 ** floor(log10(raw))
    apart = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw)
    first, last = floor(low / apart + 1e-9), ceil(high / apart - 1e-9)
    return [round(apart * number, 12) for number in range(first, max(last, first + 1) + 1)]


def _horizontal(frame: _Frame, tick: float) -> str:
    y = frame.y(tick)
    grid = f'<path class="tick" d="M{LEFT},{y:.1f} H{WIDTH - RIGHT}"/>'
    return f'{grid}<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>'


def _below(frame: _Frame, tick: float) -> str:
    return f'<text x="{frame.x(tick):.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{tick:g}</text>'


def _break(frame: _Frame, at: float) -> str:
    x = frame.x(at)
    line = f'<path class="break" d="M{x:.1f},{TOP} V{HEIGHT - BOTTOM}"/>'
    return f'{line}<text x="{x + 4:.1f}" y="{TOP + 10}">next round</text>'
