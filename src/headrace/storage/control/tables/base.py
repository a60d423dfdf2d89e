"""What all tables share."""

from sqlalchemy import BigInteger, Column, MetaData, Table

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

revision = Table("revision", metadata, Column("value", BigInteger, primary_key=True))


def stamps() -> tuple[Column[int], Column[int]]:
    """Return the columns that say when a row was made and last changed (epoch ms)."""
    return Column("created_at", BigInteger, nullable=False), Column("updated_at", BigInteger, nullable=False)
