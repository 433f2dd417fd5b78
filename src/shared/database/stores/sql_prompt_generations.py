"""`PromptGenerations` on a database: what one process invalidates, every other stops serving."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from shared.core.state.prompt_generations import Sighting
from shared.database.engine.database import Database
from shared.database.engine.row_mapping import build_insert, chunks
from shared.database.schema.store_tables import prompt_generations as table

_WANTED: sa.BindParameter[list[str]] = sa.bindparam("wanted", expanding=True)
_CURRENT = sa.select(table.c.name, table.c.generation).where(table.c.name.in_(_WANTED))


class SqlGenerations:
    """`PromptGenerations` on `database`. Every method raises `StoreError` when the database cannot be read or written;
    no counter is raised then.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def current(self, names: Sequence[str]) -> dict[str, int]:
        found = dict.fromkeys(names, 0)
        with self._database.read() as connection:
            for part in chunks(list(found)):
                rows = connection.execute(_CURRENT, {"wanted": part})
                found.update({name: generation for name, generation in rows})
        return found

    def bump(self, name: str) -> int:
        with self._database.write() as connection:
            return _raise_one(connection, name)

    def sight(self, name: str, state: str) -> Sighting:
        with self._database.write(f"prompt {name}") as connection:
            row = connection.execute(sa.select(table).where(table.c.name == name)).one_or_none()
            announced = row is None or row.state is None or row.generation > row.state_generation
            if row is not None and row.state == state:
                generation, changed = row.generation, False
            else:
                generation, changed = _raise_one(connection, name), True
            if changed or announced:
                noted = {"state": state, "state_generation": generation}
                connection.execute(sa.update(table).where(table.c.name == name).values(noted))
        return Sighting(generation, changed, announced)


def raise_all(connection: sa.Connection, counts: Mapping[str, int]) -> None:
    """Raise the counters of these prompts by so much each, in the order of their names: whoever raises several at once
    and in another order would wait for one who waits for them.
    """
    rows = [{"name": name, "generation": counts[name]} for name in sorted(counts)]
    if rows:
        connection.execute(_upsert(connection), rows)


def _raise_one(connection: sa.Connection, name: str) -> int:
    one = {"name": name, "generation": 1}
    return int(connection.execute(_upsert(connection).returning(table.c.generation), one).scalar_one())


def _upsert(connection: sa.Connection) -> sqlite.Insert | postgresql.Insert:
    insert = build_insert(connection, table)
    # added up in the database, so that two who raise at once count two
    raised = {"generation": table.c.generation + insert.excluded.generation}
    return insert.on_conflict_do_update(index_elements=["name"], set_=raised)
