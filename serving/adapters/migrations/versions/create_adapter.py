"""Create the table of adapters."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create it, with one active version a name."""
    op.create_table(
        "adapter",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("rank", sa.Integer, nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.Column("base_digest", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("error", sa.Text, nullable=False),
        sa.Column("certificate", sa.Text, nullable=False),
        sa.Column("certificate_state", sa.String(16), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("retired_at", sa.BigInteger),
        sa.UniqueConstraint("base_digest", "name", "version", name="adapter_version"),
    )
    is_active = sa.text("state = 'active'")
    op.create_index(
        "adapter_active",
        "adapter",
        ["base_digest", "name"],
        unique=True,
        sqlite_where=is_active,
        postgresql_where=is_active,
    )


def downgrade() -> None:
    """Drop it, with all that it knows."""
    op.drop_table("adapter")
