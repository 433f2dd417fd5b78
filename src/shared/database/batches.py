"""Thin door for an older import; new code imports from `trueline`."""

from shared.database.stores.sql_batches import SqlBatches

__all__ = ["SqlBatches"]
