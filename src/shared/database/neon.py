"""Thin door: the client for serverless Postgres under the name that users know. The work is in `neon_client.py`."""

from shared.database.upload.neon_async_client import AsyncNeonConnection
from shared.database.upload.neon_client import NeonConnection, NeonSettings
from shared.database.upload.upload_result import EvaluationUploadError, OnConflict, Uploaded

__all__ = [
    "AsyncNeonConnection",
    "EvaluationUploadError",
    "NeonConnection",
    "NeonSettings",
    "OnConflict",
    "Uploaded",
]
