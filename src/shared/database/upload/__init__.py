"""Rows into tables of a user's database, and the client for serverless Postgres."""
