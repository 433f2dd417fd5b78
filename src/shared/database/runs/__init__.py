"""Runs, samples, results and the outbox on a database."""
