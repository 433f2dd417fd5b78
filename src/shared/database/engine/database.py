"""Opening a database, a SQLite file or a Postgres server: one of ours, at the newest schema, or a user's, as it is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError

from shared.core.errors import StoreError
from shared.core.private_files import make_private_folder
from shared.database.engine.database_errors import as_store_errors, file_errors_as_store_errors
from shared.database.schema.tables import HEAD


@dataclass(frozen=True, slots=True)
class Database:
    """An open database. `place` names it in messages, without a password; `path` is the absolute
    path of a SQLite file, None for a server.
    """

    engine: sa.Engine
    place: str
    path: Path | None = None

    @contextmanager
    def write(self, alone: str = "") -> Iterator[sa.Connection]:
        """One transaction that may write, whole or not at all, durable when the block ends.

        On SQLite writers take turns. On Postgres they do only when they say the same `alone`: whoever reads first and
        writes by what was read says what it must be alone with.

        Raises:
            StoreError: when the database cannot be read or written.
        """
        with as_store_errors(self.place), self.engine.connect() as plain:
            connection = plain.execution_options(trueline_write=True)
            with connection.begin():
                if alone and self.path is None:
                    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtextextended(alone, 0))))
                yield connection

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """One transaction that reads: a single moment's state, whatever others write meanwhile.

        Raises:
            StoreError: when the database cannot be read.
        """
        with as_store_errors(self.place), self.engine.connect() as connection, connection.begin():
            yield connection

    def close(self) -> None:
        """Give back every connection; the object must not be used afterwards."""
        self.engine.dispose()


def open_database(path_or_url: str | os.PathLike[str]) -> Database:
    """Open a database, creating what is missing, and bring it to the newest schema.

    Takes the path of a SQLite file, which is created with its folders, or a URL: `sqlite:///data/state.db`,
    `postgresql://user:password@host/name`. Two processes may open a fresh one at once.

    Raises:
        StoreError: when it cannot be created, reached, read or written, is no database, is a file of zero bytes, or is
            from a newer version.
    """
    database = _connect(parse_address(os.fspath(path_or_url)))
    with as_store_errors(database.place):
        try:
            if database.path is None:
                from shared.database.engine.postgres import prepare_server

                prepare_server(database.engine, lambda engine: _prepare(engine, database.place))
            else:
                _prepare_file(database, database.path)
        except BaseException:
            database.close()
            raise
    return database


def open_as_it_is(path_or_url: str | os.PathLike[str]) -> Database:
    """Open a user's database, given as for `open_database`: no table is made, looked at or changed. A file is created
    with its folders; a server is connected to when it is first needed.

    Raises:
        StoreError: when the address cannot be understood, or the file's folder cannot be made.
    """
    database = _connect(parse_address(os.fspath(path_or_url)))
    if database.path is not None:
        with file_errors_as_store_errors(database.path):
            make_private_folder(database.path.parent)
    return database


def read_database(path_or_url: str | os.PathLike[str]) -> Database:
    """Open a database to read what is there. A file that can be written is opened as ever; one that cannot is read as
    it is, if its schema is the newest.

    Raises:
        StoreError: as `open_database`, and when an older schema cannot be brought to the newest.
    """
    url = parse_address(os.fspath(path_or_url))
    path = Path(url.database or "").absolute()
    if url.get_backend_name() != "sqlite" or all(os.access(each, os.W_OK) for each in (path, path.parent)):
        return open_database(path_or_url)
    database = _connect(url, reading=True)
    with as_store_errors(database.place), file_errors_as_store_errors(path):
        try:
            found = _read_revision(database.engine)
        except BaseException:
            database.close()
            raise
    if found != HEAD:
        database.close()
        raise StoreError(
            f"{path}: its schema is {found!r}, this version reads {HEAD!r}, and the file cannot be written to bring it"
            " there; make the file and its folder writable once."
        )
    return database


def has_state(path_or_url: str | os.PathLike[str]) -> bool:
    """Whether a database is there and has Trueline's tables; creates nothing.

    Raises:
        StoreError: when a server cannot be reached.
    """
    url = parse_address(os.fspath(path_or_url))
    if url.get_backend_name() == "sqlite":
        return Path(url.database or "").exists()
    database = _connect(url)
    try:
        with as_store_errors(database.place), database.engine.connect() as connection:
            return sa.inspect(connection).has_table("alembic_version")
    finally:
        database.close()


def describe_state(path_or_url: str | os.PathLike[str]) -> str:
    """How far a database is, in words; nothing is made or changed.

    Raises:
        StoreError: when it cannot be reached or read, or is from a newer version.
    """
    url = parse_address(os.fspath(path_or_url))
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").exists():
        return "is not there yet; the first run makes it"
    if url.get_backend_name() == "sqlite":
        from shared.database.engine.sqlite import refuse_emptied  # late: one of the two kinds is needed

        refuse_emptied(Path(url.database or ""))
    database = _connect(url, reading=True)
    try:
        with as_store_errors(database.place):
            revision = _read_revision(database.engine)
        return _describe_schema(revision, database.place)
    finally:
        database.close()


def _describe_schema(revision: str | None, place: str) -> str:
    if revision is None:
        return "answers; the first run makes its tables"
    if revision == HEAD:
        return "answers; its tables are the newest"
    _refuse_newer(revision, place)
    return f"answers; its tables are of an older version ({revision}), the next run brings them to {HEAD}"


def format_place(path_or_url: str | os.PathLike[str]) -> str:
    """A path, or a server's URL without its password.

    Raises:
        StoreError: when it is neither.
    """
    url = parse_address(os.fspath(path_or_url))
    if url.get_backend_name() == "sqlite":
        return str(url.database)
    from shared.database.engine.postgres import place_of

    return place_of(url)


def _connect(url: sa.URL, reading: bool = False) -> Database:
    """The database of an address, of which nothing has been asked so far; with `reading` a file is not written."""
    if url.get_backend_name() == "postgresql":
        from shared.database.engine.postgres import place_of, postgres_engine  # late: one of the two kinds is needed

        return Database(postgres_engine(url), place_of(url))
    from shared.database.engine.sqlite import reading_engine, sqlite_engine

    path = Path(url.database or "").absolute()
    return Database(reading_engine(path) if reading else sqlite_engine(path), str(path), path)


def _prepare_file(database: Database, path: Path) -> None:
    from shared.database.engine.sqlite import prepare_file

    with file_errors_as_store_errors(path):
        make_private_folder(path.parent)
        prepare_file(path, database.engine, lambda engine: _prepare(engine, database.place))


def parse_address(text: str) -> sa.URL:
    """The URL of a database that is given by a path or a URL.

    Raises:
        StoreError: when it is neither, or of a kind that cannot be used.
    """
    if "://" not in text:
        url = sa.URL.create("sqlite", database=text)
    else:
        try:
            url = sa.make_url(text.replace("postgres://", "postgresql://", 1))
        except (ArgumentError, ValueError) as error:
            wanted = "a path, or a URL such as 'sqlite:///data/state.db' or 'postgresql://user@host/name'"
            raise StoreError(f"expected {wanted}, found {_without_password(text)!r}") from error
    if url.get_backend_name() not in ("sqlite", "postgresql"):
        raise StoreError(
            f"databases of kind {url.get_backend_name()!r} cannot be used here, only SQLite files and Postgres"
        )
    if url.get_backend_name() == "sqlite" and url.database in (None, "", ":memory:"):
        raise StoreError("state needs a file, such as 'data/state.db': kept in memory it would be lost with the run")
    return url


def _without_password(text: str) -> str:
    """A URL that cannot be read, without what may be its password."""
    scheme, _, rest = text.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"


def _read_revision(engine: sa.Engine) -> str | None:
    with engine.connect() as connection:
        if not sa.inspect(connection).has_table("alembic_version"):
            return None
        found: str | None = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
        return found


def _prepare(engine: sa.Engine, place: str) -> None:
    revision = _read_revision(engine)
    if revision == HEAD:
        return
    from shared.database.engine.migrate import upgrade  # Alembic is needed for a new or an old database only

    if revision is not None:
        _refuse_newer(revision, place)
    with engine.connect() as plain:
        connection = plain.execution_options(trueline_write=True)
        with connection.begin():
            upgrade(connection)


def _refuse_newer(revision: str, place: str) -> None:
    from shared.database.engine.migrate import known_revisions  # late, as above

    if revision not in known_revisions():
        raise StoreError(
            f"{place}: the database is from a newer version of Trueline (schema {revision!r}, this version knows up to"
            f" {HEAD!r}), or another program keeps its schema there with Alembic; upgrade Trueline, or point to another"
            " database."
        )
