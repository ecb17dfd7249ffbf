"""How alembic changes the database: on the connection that it is given, as part of its transaction."""

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=context.config.attributes["metadata"],
    # Other parts of a server may have tables, and changes of them, in the same database.
    version_table="adapter_schema",
    include_name=lambda name, kind, _parents: kind != "table" or name == "adapter",
)
context.run_migrations()
