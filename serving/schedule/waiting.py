"""The sequences that wait, each tenant's in order, and which of them is next.

What is asked in each step does not grow with how many wait.
"""

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator
from contextlib import closing
from itertools import chain, islice

from ..memory.adapter_store import Version
from ..requests.sequence import Sequence
from .deadlines import Deadlines
from .fair_share import FairShare

# So often may a sequence be passed over for others whose adapter is in the batch.
MAX_PASSED = 64
# So many of a tenant's sequences are looked at for one that may begin.
LOOKAHEAD = 512


class Waiting:
    """Queues by tenant. The least served tenant's oldest sequence is next, but for adapter clustering."""

    def __init__(self, fair_share: FairShare, max_adapters: int) -> None:
        self._fair_share = fair_share
        self._max_adapters = max_adapters
        self._queues: dict[str, OrderedDict[int, Sequence]] = {}
        self._deadlines = Deadlines()
        self._passed: dict[int, int] = {}

    def __len__(self) -> int:
        return sum(map(len, self._queues.values()))

    def __iter__(self) -> Iterator[Sequence]:
        return (sequence for queue in self._queues.values() for sequence in queue.values())

    def append(self, sequence: Sequence) -> None:
        """Let a new sequence wait."""
        self._queue(sequence)[sequence.id] = sequence
        self._deadlines.add(sequence)

    def put_back(self, sequence: Sequence) -> None:
        """Let a sequence wait that ran before: it is its tenant's first."""
        self.append(sequence)
        self._queue(sequence).move_to_end(sequence.id, last=False)

    def remove(self, sequence: Sequence) -> None:
        """Take a sequence out."""
        tenant = sequence.request.tenant
        del self._queues[tenant][sequence.id]
        self._deadlines.discard(sequence)
        self._passed.pop(sequence.id, None)
        if not self._queues[tenant]:
            del self._queues[tenant]
            self._fair_share.leave(tenant)

    def overdue(self, moment: float) -> list[Sequence]:
        """Return those without a token whose deadline lies before a moment; they are to be removed."""
        return self._deadlines.before(moment)

    def next(self, in_use: Collection[Version], is_held_up: Callable[[Sequence], bool]) -> Sequence | None:
        """Return the sequence that should begin to run, None if there is none; it stays here until it is removed.

        `in_use` are the adapters of the batch. One that is held up gains from waiting a step and is passed over.
        """
        is_full = 0 < self._max_adapters <= len(in_use)
        with closing(self._fair_share.first()) as tenants:
            for tenant in tenants:
                some = islice(self._queues[tenant].values(), LOOKAHEAD)
                ready = (sequence for sequence in some if not is_held_up(sequence))
                first = next(ready, None)
                if first is None:
                    continue
                if not is_full or self._passed.get(first.id, 0) >= MAX_PASSED:
                    return first
                # The base model is no adapter more.
                known = (one for one in chain((first,), ready) if one.version is None or one.version in in_use)
                alike = next(known, first)
                if alike is not first:
                    self._passed[first.id] = self._passed.get(first.id, 0) + 1
                return alike
        return None

    def _queue(self, sequence: Sequence) -> OrderedDict[int, Sequence]:
        tenant = sequence.request.tenant
        if tenant not in self._queues:
            self._queues[tenant] = OrderedDict()
            self._fair_share.arrive(tenant)
        return self._queues[tenant]
