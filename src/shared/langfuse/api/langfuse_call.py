"""One request to Langfuse, and what its rate limit and the meaning of its failure depend on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from shared.http.transport import QueryParams
from shared.langfuse.api.connection import Bucket


@dataclass(frozen=True, slots=True)
class Call:
    """One request. `named` asks for one thing by its name or id, `broad` for as much as a window holds. `once` must not
    be sent again where it may have taken effect already; what `ingests` brings spans. A mapping as `body` is sent as
    JSON without what is None in it; bytes are JSON already.
    """

    method: str
    path: str
    bucket: Bucket | None = None
    params: QueryParams | None = None
    body: bytes | Mapping[str, object] | None = None
    named: bool = False
    broad: bool = False
    once: bool = False
    ingests: bool = False
