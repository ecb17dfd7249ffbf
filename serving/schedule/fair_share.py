"""Fair share among tenants: the virtual token counter (Sheng et al., Fairness in Serving LLMs, OSDI 2024, algorithm 2).

A tenant's counter is the service it had: INPUT_COST for a token of a prompt, OUTPUT_COST for one drawn, divided by its
weight. Of those who wait the least served is next. One that comes back from a pause is lifted to the least of those who
wait, or where nobody waits to the last who did, so that nobody saves up service, however long its requests run.
"""

import heapq
from collections.abc import Generator, Mapping
from contextlib import closing

INPUT_COST, OUTPUT_COST = 1.0, 2.0


class FairShare:
    """The counters of all tenants, and who of them waits; those without a weight have 1."""

    def __init__(self, weights: Mapping[str, float] | None = None) -> None:
        self._weights = dict(weights or {})
        for tenant, weight in self._weights.items():
            if not 0 < weight < float("inf"):
                raise ValueError(f"weight of {tenant!r}, got {weight}, expected a number over 0")
        self._served: dict[str, float] = {}
        self._waiting: set[str] = set()
        self._last_to_leave = ""
        # One entry a tenant, perhaps of one that has left: a counter, when it was put in, whose it is. Counters only
        # grow, so an entry is never too high, and is put right when it comes to the top.
        self._heap: list[tuple[float, int, str]] = []
        self._entered: set[str] = set()
        self._num_entries = 0

    def arrive(self, tenant: str) -> None:
        """Take note that a tenant waits who had nothing waiting."""
        with closing(self.first()) as waiting:
            least = next(waiting, self._last_to_leave)
        self._served[tenant] = max(self.served(tenant), self.served(least))
        self._waiting.add(tenant)
        if tenant not in self._entered:
            self._entered.add(tenant)
            self._num_entries += 1
            heapq.heappush(self._heap, (self._served[tenant], self._num_entries, tenant))

    def leave(self, tenant: str) -> None:
        """Take note that a tenant has nothing waiting any more."""
        self._waiting.remove(tenant)
        self._last_to_leave = tenant

    def reset(self) -> None:
        """Let nobody wait; what tenants were served stays."""
        self._waiting.clear()
        self._heap.clear()
        self._entered.clear()

    def first(self) -> Generator[str, None, None]:
        """Yield those who wait, the least served first."""
        passed = []
        try:
            while self._heap:
                served, number, tenant = self._heap[0]
                if tenant not in self._waiting:
                    heapq.heappop(self._heap)
                    self._entered.remove(tenant)
                elif served < self._served[tenant]:
                    heapq.heapreplace(self._heap, (self._served[tenant], number, tenant))
                else:
                    passed.append(heapq.heappop(self._heap))
                    yield tenant
        finally:
            for entry in passed:
                heapq.heappush(self._heap, entry)

    def charge(self, tenant: str, *, num_input: int = 0, num_output: int = 0) -> None:
        """Count what a tenant was served."""
        cost = INPUT_COST * num_input + OUTPUT_COST * num_output
        self._served[tenant] = self.served(tenant) + cost / self._weights.get(tenant, 1.0)

    def served(self, tenant: str) -> float:
        """Return a tenant's counter."""
        return self._served.get(tenant, 0.0)
