"""The sequences that wait, each tenant's in order, and which of them is next."""

from collections import deque
from collections.abc import Callable, Collection, Iterator

from ..memory.adapter_store import Version
from ..requests.sequence import Sequence
from .fair_share import FairShare

# So often may a sequence be passed over for others whose adapter is in the batch.
MAX_PASSED = 64


class Waiting:
    """Queues by tenant. The least served tenant's oldest sequence is next, but for adapter clustering."""

    def __init__(self, fair_share: FairShare, max_adapters: int) -> None:
        self._fair_share = fair_share
        self._max_adapters = max_adapters
        self._queues: dict[str, deque[Sequence]] = {}
        self._passed: dict[int, int] = {}

    def __len__(self) -> int:
        return sum(map(len, self._queues.values()))

    def __iter__(self) -> Iterator[Sequence]:
        return (sequence for queue in self._queues.values() for sequence in queue)

    @property
    def tenants(self) -> Collection[str]:
        """Those who have a sequence waiting."""
        return self._queues.keys()

    def append(self, sequence: Sequence) -> None:
        """Let a new sequence wait."""
        self._queues.setdefault(sequence.request.tenant, deque()).append(sequence)

    def put_back(self, sequence: Sequence) -> None:
        """Let a sequence wait that ran before: it is its tenant's first."""
        self._queues.setdefault(sequence.request.tenant, deque()).appendleft(sequence)

    def remove(self, sequence: Sequence) -> None:
        """Take a sequence out."""
        tenant = sequence.request.tenant
        self._queues[tenant].remove(sequence)
        self._passed.pop(sequence.id, None)
        if not self._queues[tenant]:
            del self._queues[tenant]

    def next(self, in_use: Collection[Version], is_held_up: Callable[[Sequence], bool]) -> Sequence | None:
        """Return the sequence that should begin to run, None if there is none; it stays here until it is removed.

        `in_use` are the adapters of the batch. One that is held up gains from waiting a step and is passed over.
        """
        is_full = 0 < self._max_adapters <= len(in_use)
        for tenant in self._fair_share.first(self._queues):
            ready = (sequence for sequence in self._queues[tenant] if not is_held_up(sequence))
            first = next(ready, None)
            if first is None:
                continue
            if not is_full or first.version in in_use or self._passed.get(first.id, 0) >= MAX_PASSED:
                return first
            alike = next((sequence for sequence in ready if sequence.version in in_use), None)
            if alike is None:
                return first
            self._passed[first.id] = self._passed.get(first.id, 0) + 1
            return alike
        return None
