"""Strips: shares before and after with their intervals on one line from 0 to 100 %, as inline SVG.

Colours come from the page (`currentColor` under the classes `before` and `after`), so that it may be light or dark;
place and shape tell the two apart as well.
"""

from html import escape

from ..records.evaluation import Mean, Share

WIDTH, HEIGHT, MARGIN = 168, 30, 8


def strip(before: Share | Mean | None, after: Share | Mean | None, what: str) -> str:
    """Return an SVG strip; `what` begins the text that stands for it."""
    marks = [("before", before, 9), ("after", after, 21)]
    told = "; ".join(f"{name} {_words(share)}" for name, share, _ in marks if share is not None)
    ticks = "".join(f'<path class="tick" d="M{_x(at):.1f},4 V26"/>' for at in (0, 0.25, 0.5, 0.75, 1))
    drawn = "".join(_mark(name, share, y) for name, share, y in marks if _value(share) is not None)
    return (
        f'<svg class="strip" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img" '
        f'aria-label="{escape(what)}: {told or "nothing to compare"}">{ticks}{drawn}</svg>'
    )


def _mark(name: str, share: Share | Mean | None, y: int) -> str:
    assert share is not None
    value = _value(share)
    assert value is not None
    x = _x(value)
    whisker = ""
    if share.low is not None and share.high is not None:
        whisker = f'<path class="whisker" d="M{_x(share.low):.1f},{y} H{_x(share.high):.1f}"/>'
    shape = (
        f'<circle class="hollow" cx="{x:.1f}" cy="{y}" r="3.5"/>'
        if name == "before"
        else f'<path d="M{x:.1f},{y - 5} l5,5 l-5,5 l-5,-5 z"/>'
    )
    return f'<g class="{name}">{whisker}{shape}</g>'


def _x(share: float) -> float:
    return MARGIN + (WIDTH - 2 * MARGIN) * share


def _value(share: Share | Mean | None) -> float | None:
    return share.value if share is not None and share.num_counted else None


def _words(share: Share | Mean | None) -> str:
    value = _value(share)
    if value is None or share is None:
        return "nothing to count"
    if share.low is None or share.high is None:
        return f"{value:.1%}, no interval"
    return f"{value:.1%}, interval {share.low:.1%} to {share.high:.1%}"
