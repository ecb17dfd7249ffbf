"""Replay: controllers run along recorded waits, to see whether what a task asks for begins in time.

Nothing that is recorded depends on the controller, so what is replayed is exact up to its first movement; where there
is a later line to wait at, the controller goes on through a recorded way there.
"""

from collections.abc import Sequence
from functools import partial
from itertools import cycle, groupby

from ...specs.logic import Bdd, Formula, boolean_diagram, buddy, cube, exactly_one, letter_diagram
from ...specs.recorded_waits import RecordedWaits, RecordingSet
from ...specs.vocabulary import Vocabulary
from ...synth.controllers.controller import Controller
from .stepped_controller import LetterRuns, SteppedController, letter_runs
from .window import windows_of

_MAX_PROJECTIONS = 64


class Replay:
    """The windows of recorded waits in which an event has to begin, with what does not depend on a controller.

    Windows do not overlap; they come line by line. A later line is there if an action of the event leads to it.
    """

    def __init__(
        self,
        waits: RecordedWaits,
        recordings: RecordingSet,
        vocabulary: Vocabulary,
        event: Formula,
        limit: int,
        premise: Formula | None = None,
    ) -> None:
        self.names = waits.propositions
        actions = cube(vocabulary.action_ids)
        diagram = boolean_diagram(event.ltl)
        # Where an action is the event, or under which letters.
        self._is_event = {
            action: buddy.bdd_exist(diagram & exactly_one(vocabulary.action_ids, action), actions)
            for action in vocabulary.action_ids
        }
        self._mentioned = self._mask(event.propositions)
        self._projections: dict[int, Sequence[tuple[LetterRuns, LetterRuns]]] = {}
        chosen = [
            wait
            for wait in waits.waits
            if wait.recordings is recordings and (wait.after is None or wait.after in event.propositions)
        ]
        wanted = buddy.bddtrue if premise is None else boolean_diagram(premise.ltl)
        presumed = self._among({letter for wait in chosen for letter in wait.letters}, wanted)
        windows = (window for wait in chosen for window in windows_of(wait, limit, presumed))
        self.windows = tuple(sorted(windows, key=lambda window: window.line))

    def diagram(self, letter: int, mask: int = -1) -> Bdd:
        """Return a letter, or what of it is in a mask, as a decision diagram."""
        names = [(name, letter >> bit & 1) for bit, name in enumerate(self.names) if mask >> bit & 1]
        return letter_diagram((name for name, value in names if value), (name for name, value in names if not value))

    def run(self, controller: Controller) -> list[bool]:
        """Return for each window whether the event begins in it.

        At the first line the controller starts in its first state. At a later one it goes on from where the event
        began at the line before, in its windows one after the other; if it never did, or its run ends, neither does it
        begin here.
        """
        mask = self._mentioned | self._mask_of(controller)
        machine = SteppedController(controller, partial(self.diagram, mask=mask), self.is_event)
        begun: list[bool] = []
        arrived: dict[str | None, list[int]] = {None: [0]}
        for _, windows in groupby(zip(self.windows, self._projected(mask), strict=True), key=lambda pair: pair[0].line):
            leaving: dict[str | None, list[int]] = {}
            starts = {action: cycle(states) for action, states in arrived.items()}
            for window, (roll, letters) in windows:
                found = None
                if window.after in starts:
                    found = machine.begin(machine.go_on(next(starts[window.after]), roll), letters)
                if found is not None:
                    leaving.setdefault(found[1], []).append(found[0])
                begun.append(found is not None)
            arrived = leaving
        return begun

    def meets(self, letters: Bdd) -> list[bool]:
        """Return for each window whether one of these letters, a decision diagram, occurs in it."""
        met = self._among({letter for window in self.windows for letter in window.letters}, letters)
        return [not met.isdisjoint(window.letters) for window in self.windows]

    def _among(self, known: set[int], letters: Bdd) -> set[int]:
        return {letter for letter in known if self.diagram(letter) & letters != buddy.bddfalse}

    def is_event(self, action: str, letter: Bdd) -> bool:
        """Return whether the event begins when an action is given under a letter."""
        return bool(self._is_event[action] & letter != buddy.bddfalse)

    def _mask(self, names: frozenset[str]) -> int:
        return sum(1 << bit for bit, name in enumerate(self.names) if name in names)

    def _mask_of(self, controller: Controller) -> int:
        """Return the propositions that a controller looks at."""
        seen = buddy.bddtrue
        for edges in controller.states:
            for edge in edges:
                seen = seen & buddy.bdd_support(edge.guard)
        return sum(
            1 << bit for bit, name in enumerate(self.names) if seen & letter_diagram((), (name,)) == buddy.bddfalse
        )

    def _projected(self, mask: int) -> Sequence[tuple[LetterRuns, LetterRuns]]:
        """Return way and wait of each window in the letters of a mask, kept for other controllers that look there."""
        if mask not in self._projections:
            if len(self._projections) == _MAX_PROJECTIONS:
                self._projections.clear()
            self._projections[mask] = [(letter_runs(w.roll, mask), letter_runs(w.letters, mask)) for w in self.windows]
        return self._projections[mask]
