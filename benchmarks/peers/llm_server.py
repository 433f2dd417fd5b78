"""An OpenAI-compatible server on 127.0.0.1 that answers every question after 50 ms; prints its address and serves."""

from __future__ import annotations

import asyncio
import json

ROW = {"token": " yes", "logprob": -0.125, "top_logprobs": []}
ANSWER = {
    "id": "x",
    "object": "chat.completion",
    "created": 1,
    "model": "small",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": " yes" * 20},
            "logprobs": {"content": [ROW] * 20},
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 20, "completion_tokens": 20, "total_tokens": 40},
}
MODELS = {"object": "list", "data": [{"id": "small", "object": "model"}]}


def response(found: object) -> bytes:
    """A whole HTTP response."""
    body = json.dumps(found).encode()
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body


CHAT, LIST = response(ANSWER), response(MODELS)


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer the requests of one connection."""
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            lines = head.lower().split(b"\r\n")
            size = next((int(line[15:]) for line in lines if line.startswith(b"content-length:")), 0)
            await reader.readexactly(size)
            post = head.startswith(b"POST")
            if post:
                await asyncio.sleep(0.05)
            writer.write(CHAT if post else LIST)
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def main() -> None:
    """Serve until the process is ended."""
    server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=256)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
