"""State in a database: tables, migrations and the stores built on them. SQLite now, Postgres on the same tables."""
