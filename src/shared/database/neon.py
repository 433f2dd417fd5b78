"""Thin door: the client for serverless Postgres under the name that users know. The work is in `neon_client.py`."""

from shared.database.neon_async import AsyncNeonConnection
from shared.database.neon_client import NeonConnection, NeonSettings
from shared.database.upload_records import EvaluationUploadError, OnConflict, Uploaded

__all__ = [
    "AsyncNeonConnection",
    "EvaluationUploadError",
    "NeonConnection",
    "NeonSettings",
    "OnConflict",
    "Uploaded",
]
