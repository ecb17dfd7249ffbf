"""The domain that these environments simulate."""

from functools import cache

from ..specs.domain import Domain, load_domain


@cache
def driving() -> Domain:
    """Return the shipped driving domain, which names the propositions and the actions."""
    return load_domain("driving")
