"""The table of adapters in the server's database. Times are microseconds since 1970, which every database keeps."""

from sqlalchemy import BigInteger, Column, Index, Integer, MetaData, String, Table, Text, UniqueConstraint, text

metadata = MetaData()
_ONE = text("state = 'active'")

adapter = Table(
    "adapter",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(128), nullable=False),
    Column("version", Integer, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("rank", Integer, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("base_digest", String(64), nullable=False),
    Column("state", String(16), nullable=False),
    Column("error", Text, nullable=False),
    Column("certificate", Text, nullable=False),
    Column("certificate_state", String(16), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("retired_at", BigInteger),
    # Each base model has adapters, names and versions of its own.
    UniqueConstraint("base_digest", "name", "version", name="adapter_version"),
    Index("adapter_active", "base_digest", "name", unique=True, sqlite_where=_ONE, postgresql_where=_ONE),
)
