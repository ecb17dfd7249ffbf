"""Which of those who wait can no longer have a first token in time."""

import heapq

from ..requests.sequence import Sequence

# A heap of fewer entries is not cleared of those that wait no more.
LEAST_CLEARED = 64


class Deadlines:
    """Sequences that wait for a first token, the soonest deadline first. Others are taken in and not kept."""

    def __init__(self) -> None:
        self._waiting: dict[int, Sequence] = {}
        # Deadlines and numbers, some of sequences that wait no more.
        self._heap: list[tuple[float, int]] = []

    def add(self, sequence: Sequence) -> None:
        """Watch a sequence, if it has a deadline and no token yet."""
        deadline = sequence.request.deadline
        if deadline is not None and not sequence.num_produced:
            self._waiting[sequence.id] = sequence
            heapq.heappush(self._heap, (sequence.arrival + deadline, sequence.id))

    def discard(self, sequence: Sequence) -> None:
        """Watch a sequence no longer."""
        self._waiting.pop(sequence.id, None)
        if len(self._heap) > max(LEAST_CLEARED, 2 * len(self._waiting)):
            self._heap = [entry for entry in self._heap if entry[1] in self._waiting]
            heapq.heapify(self._heap)

    def before(self, moment: float) -> list[Sequence]:
        """Return the sequences whose deadline lies before a moment, which are watched no longer."""
        found = []
        while self._heap and self._heap[0][0] < moment:
            _, number = heapq.heappop(self._heap)
            # One that was put back stands here twice.
            sequence = self._waiting.pop(number, None)
            if sequence is not None:
                found.append(sequence)
        return found
