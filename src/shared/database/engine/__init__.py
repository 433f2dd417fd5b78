"""Opening a database, SQLite or Postgres: connections, migrations, errors, rows."""
