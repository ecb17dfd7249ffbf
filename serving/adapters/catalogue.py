"""Where a server finds the adapters that it serves."""

from typing import Protocol

from .adapter_record import AdapterRecord


class Catalogue(Protocol):
    """The adapters that names stand for now."""

    def find(self, name: str) -> AdapterRecord | None:
        """Return the active version of an adapter, None if there is none."""

    def all(self) -> list[AdapterRecord]:
        """Return the active version of each adapter, by name."""
