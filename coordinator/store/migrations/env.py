"""Run by Alembic inside the transaction that the store opened."""

from alembic import context

from parley.coordinator.store.models import Base

context.configure(connection=context.config.attributes["connection"], target_metadata=Base.metadata)
with context.begin_transaction():
    context.run_migrations()
