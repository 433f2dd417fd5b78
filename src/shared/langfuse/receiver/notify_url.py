"""The notify URL: notifies another application by HTTP that a prompt has changed."""

from __future__ import annotations

import json
from collections.abc import Callable
from urllib.parse import quote, urlsplit

import httpx

from shared.core.errors import Unavailable
from shared.core.state.webhook_deliveries import Delivery
from shared.http.verify_signature import sign


class NotifyUrl:
    """POSTs `{"event": "prompt.changed", "promptName": ..., "payload": <what Langfuse sent>}`, for one event loop.

    Signed as Langfuse signs, in the header `x-trueline-signature`; `x-trueline-delivery` is the same in every try.
    Any 2xx counts as received; redirects are not followed. The address is never shown in full: it may hold a token.
    """

    def __init__(self, url: str, secret: str, clock: Callable[[], float], timeout: float = 5.0) -> None:
        self._url = url
        self._secret = secret
        self._clock = clock
        self._client = httpx.AsyncClient(timeout=timeout)

    async def __call__(self, delivery: Delivery) -> None:
        """Send it once.

        Raises:
            Unavailable: when it was not received.
        """
        name = json.dumps(delivery.prompt)
        body = f'{{"event":"prompt.changed","promptName":{name},"payload":{delivery.body}}}'.encode()
        headers = {
            "content-type": "application/json",
            "x-trueline-signature": sign(self._secret, body, int(self._clock())),
            "x-trueline-delivery": quote(delivery.id),  # a header holds no line breaks and only ASCII
        }
        host = urlsplit(self._url).hostname
        try:
            async with self._client.stream("POST", self._url, content=body, headers=headers) as response:
                status = response.status_code
        except httpx.HTTPError as error:
            raise Unavailable(f"{host}: {type(error).__name__}") from error
        if not 200 <= status < 300:
            raise Unavailable(f"{host} answered {status}")

    async def aclose(self) -> None:
        await self._client.aclose()
