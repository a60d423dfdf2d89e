"""Alembic's entry: runs steps in the transaction that `headrace.storage.control.migrate` has opened."""

from alembic import context

from headrace.storage.control.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite changes a column by making its table anew
)
context.run_migrations()
