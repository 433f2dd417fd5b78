"""The tables of the state database, defined once for SQLite and Postgres."""
