"""Fair share among tenants: the virtual token counter (Sheng et al., Fairness in Serving LLMs, OSDI 2024, algorithm 2).

A tenant's counter is the service it had: INPUT_COST for a token of a prompt, OUTPUT_COST for one drawn, divided by its
weight. Of those who wait the least served is next. One that comes back from a pause is lifted to the least of those who
wait or run, or, if there are none, to the last that was served, so that nobody saves up service.
"""

from collections.abc import Iterable, Mapping

INPUT_COST, OUTPUT_COST = 1.0, 2.0


class FairShare:
    """The counters of all tenants; those without a weight have 1."""

    def __init__(self, weights: Mapping[str, float] | None = None) -> None:
        self._weights = dict(weights or {})
        for tenant, weight in self._weights.items():
            if not 0 < weight < float("inf"):
                raise ValueError(f"weight of {tenant!r}, got {weight}, expected a number over 0")
        self._served: dict[str, float] = {}
        self._last_served = ""

    def arrive(self, tenant: str, active: Iterable[str]) -> None:
        """Take note that a tenant asks who had nothing waiting; `active` are those who wait or run, perhaps itself."""
        others = [self._served[one] for one in active if one != tenant and one in self._served]
        least = min(others, default=self.served(self._last_served))
        self._served[tenant] = max(self._served.get(tenant, 0.0), least)

    def first(self, tenants: Iterable[str]) -> list[str]:
        """Return tenants, the least served first."""
        return sorted(tenants, key=lambda tenant: self._served.get(tenant, 0.0))

    def charge(self, tenant: str, *, num_input: int = 0, num_output: int = 0) -> None:
        """Count what a tenant was served."""
        cost = INPUT_COST * num_input + OUTPUT_COST * num_output
        self._last_served = tenant
        self._served[tenant] = self._served.get(tenant, 0.0) + cost / self._weights.get(tenant, 1.0)

    def served(self, tenant: str) -> float:
        """Return a tenant's counter."""
        return self._served.get(tenant, 0.0)
