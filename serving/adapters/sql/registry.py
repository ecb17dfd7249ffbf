"""The adapters of one base model in the database: versions of names, one of them active, and what became of others.

Each call is one transaction: what a kill leaves is what was so before it or after it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, RowMapping, func, insert, select, update

from ..adapter_record import AdapterRecord, AdapterState
from ..ingestion.ingest import Ingested
from .tables import adapter

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CUT_OFF = "the server ended before it was loaded"
_LOST = "its files are gone from the server's folder"
UNCHECKED, NO_CERTIFICATE = "unchecked", "none"
_UNKNOWN = {
    "digest": "",
    "rank": 0,
    "bytes": 0,
    "state": AdapterState.CHECKING,
    "error": "",
    "certificate": "",
    "certificate_state": NO_CERTIFICATE,
}


@dataclass(frozen=True, slots=True)
class Entry:
    """What is told of a name: the version that counts, its certificate, and why a newer one failed, if one did."""

    record: AdapterRecord
    certificate: str
    last_error: str


class AdapterRegistry:
    """Adapters by name. `store` holds their folders."""

    def __init__(self, database: Engine, store: Path, base_digest: str) -> None:
        self._database = database
        self._store = store
        self._base_digest = base_digest
        self._own = adapter.c.base_digest == base_digest

    def recover(self) -> None:
        """Give up what a kill has cut off, and what has lost its files."""
        lost = [record for record in self.active() if record.folder is None or not record.folder.is_dir()]
        with self._database.begin() as connection:
            cut_off = self._own & (adapter.c.state == AdapterState.CHECKING)
            connection.execute(update(adapter).where(cut_off).values(state=AdapterState.FAILED, error=_CUT_OFF))
            for record in lost:
                self._change(connection, record, state=AdapterState.FAILED, error=_LOST)

    def active(self) -> list[AdapterRecord]:
        """Return the active version of each name, by name."""
        rows = self._select(self._own & (adapter.c.state == AdapterState.ACTIVE))
        return [self._record(row) for row in rows]

    def used_digests(self) -> set[str]:
        """Return the digests of all active versions, those of other base models too."""
        with self._database.begin() as connection:
            found = select(adapter.c.digest).where(adapter.c.state == AdapterState.ACTIVE)
            return {*connection.execute(found).scalars()}

    def begin(self, name: str, found: Ingested) -> AdapterRecord:
        """Return another version of a name, which is being checked."""
        with self._database.begin() as connection:
            return self._insert(
                connection,
                name,
                digest=found.digest,
                rank=found.rank,
                bytes=found.num_bytes,
                certificate=found.certificate,
                certificate_state=UNCHECKED if found.certificate else NO_CERTIFICATE,
            )

    def refuse(self, name: str, error: str) -> AdapterRecord:
        """Return a version of a name that was refused before its content was known.

        It takes the place of such a one just before it: who asks again and again fills no table.
        """
        with self._database.begin() as connection:
            newest = self._newest(connection, name)
            if newest is not None and newest["state"] == AdapterState.FAILED and not newest["digest"]:
                connection.execute(adapter.delete().where(adapter.c.id == newest["id"]))
            return self._insert(connection, name, state=AdapterState.FAILED, error=error)

    def activate(self, record: AdapterRecord) -> AdapterRecord:
        """Return a version that its name stands for from now on; the one before it is retired."""
        with self._database.begin() as connection:
            self._retire(connection, record.name)
            return self._change(connection, record, state=AdapterState.ACTIVE)

    def fail(self, record: AdapterRecord, error: str) -> AdapterRecord:
        """Return a version that could not be loaded."""
        with self._database.begin() as connection:
            return self._change(connection, record, state=AdapterState.FAILED, error=error)

    def certify(self, record: AdapterRecord, certificate: str) -> None:
        """Put a certificate in the place of the one that a version had."""
        state = UNCHECKED if certificate else NO_CERTIFICATE
        with self._database.begin() as connection:
            self._change(connection, record, certificate=certificate, certificate_state=state)

    def retire(self, name: str) -> bool:
        """Let a name stand for nothing; its versions stay known. False if it stood for nothing."""
        with self._database.begin() as connection:
            return self._retire(connection, name)

    def entries(self, name: str | None = None) -> list[Entry]:
        """Return what is told of each name, or of one: those that stand for a version, or whose last one failed."""
        rows = self._select(self._own if name is None else self._own & (adapter.c.name == name))
        versions: dict[str, list[RowMapping]] = {}
        for row in rows:
            versions.setdefault(row["name"], []).append(row)
        return [entry for found in versions.values() for entry in self._entry(found)]

    def _entry(self, versions: list[RowMapping]) -> Iterator[Entry]:
        newest = versions[-1]
        active = next((row for row in versions if row["state"] == AdapterState.ACTIVE), None)
        row = active or newest
        if row["state"] != AdapterState.RETIRED:
            yield Entry(self._record(row), row["certificate"], newest["error"])

    def _insert(self, connection: Connection, name: str, **values: Any) -> AdapterRecord:
        newest = self._newest(connection, name)
        version = 1 if newest is None else newest["version"] + 1
        known = {"name": name, "version": version, "base_digest": self._base_digest, "created_at": _now()}
        connection.execute(insert(adapter).values({**_UNKNOWN, **known, **values}))
        return self._record(self._row(connection, name, version))

    def _change(self, connection: Connection, record: AdapterRecord, **values: Any) -> AdapterRecord:
        is_it = self._own & (adapter.c.name == record.name) & (adapter.c.version == record.version)
        connection.execute(update(adapter).where(is_it).values(values))
        return self._record(self._row(connection, record.name, record.version))

    def _retire(self, connection: Connection, name: str) -> bool:
        is_it = self._own & (adapter.c.name == name) & (adapter.c.state == AdapterState.ACTIVE)
        done = connection.execute(update(adapter).where(is_it).values(state=AdapterState.RETIRED, retired_at=_now()))
        return done.rowcount > 0

    def _newest(self, connection: Connection, name: str) -> RowMapping | None:
        highest = select(func.max(adapter.c.version)).where(self._own & (adapter.c.name == name)).scalar_subquery()
        is_it = self._own & (adapter.c.name == name) & (adapter.c.version == highest)
        return connection.execute(select(adapter).where(is_it)).mappings().one_or_none()

    def _row(self, connection: Connection, name: str, version: int) -> RowMapping:
        is_it = self._own & (adapter.c.name == name) & (adapter.c.version == version)
        return connection.execute(select(adapter).where(is_it)).mappings().one()

    def _select(self, condition: Any) -> list[RowMapping]:
        found = select(adapter).where(condition).order_by(adapter.c.name, adapter.c.version)
        with self._database.begin() as connection:
            return [*connection.execute(found).mappings()]

    def _record(self, row: RowMapping) -> AdapterRecord:
        is_stored = row["digest"] and row["state"] != AdapterState.FAILED
        return AdapterRecord(
            name=row["name"],
            version=row["version"],
            digest=row["digest"],
            rank=row["rank"],
            num_bytes=row["bytes"],
            state=AdapterState(row["state"]),
            created_at=_EPOCH + timedelta(microseconds=row["created_at"]),
            folder=self._store / row["digest"] if is_stored else None,
            error=row["error"],
        )


def _now() -> int:
    return (datetime.now(UTC) - _EPOCH) // timedelta(microseconds=1)
