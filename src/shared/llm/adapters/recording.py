"""Recording: one flag around any adapter writes what it answers to a JSONL file, which `replay` reads.

A line is `{"key", "model", "prompt", "max_tokens", "parameters", "answer"}`. Only the key and the answer are read
again; the rest is there for people. The file holds texts as they were sent: treat it as the data that they are.
"""

from __future__ import annotations

import json
import threading
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

from shared.core.digests import to_plain
from shared.core.errors import StoreError
from shared.core.model_ports import answer_to_dict
from shared.core.ports import LMAdapter
from shared.core.private_files import create_private_file, make_private_folder
from shared.core.results import LMResult
from shared.llm.cache.adapter_wrapper import AdapterWrapper
from shared.llm.cache.request_key import Prompt, request_key


class RecordingAdapter(AdapterWrapper):
    """Writes every whole answer down before it is returned. Failures are not recorded, and nothing is forgotten."""

    def __init__(self, inner: LMAdapter, path: str | Path) -> None:
        super().__init__(inner)
        self._path = Path(path)
        self._lock = threading.Lock()
        self._healed = False

    async def complete(self, prompt: Prompt, max_tokens: int = 256, **params: object) -> LMResult:
        """The inner adapter's answer, recorded."""
        answer = await super().complete(prompt, max_tokens, **params)
        self._write(prompt, max_tokens, params, answer)
        return answer

    def complete_with_logprobs(self, prompt: Prompt, max_tokens: int = 256, **params: object) -> LMResult:
        """The inner adapter's answer, recorded."""
        answer = super().complete_with_logprobs(prompt, max_tokens, **params)
        self._write(prompt, max_tokens, params, answer)
        return answer

    async def stream(self, prompt: Prompt, max_tokens: int = 256, **params: object) -> AsyncIterator[str]:
        """The inner adapter's pieces, recorded as one answer when they have all come."""
        pieces = []
        async for piece in super().stream(prompt, max_tokens, **params):
            pieces.append(piece)
            yield piece
        self._write(prompt, max_tokens, params, LMResult("".join(pieces), model=self.name))

    def _write(self, prompt: Prompt, max_tokens: int, params: Mapping[str, Any], answer: LMResult) -> None:
        line = {
            "key": request_key(self.name, prompt, max_tokens, params),
            "model": self.name,
            "prompt": to_plain(prompt),
            "max_tokens": max_tokens,
            "parameters": to_plain(params),
            "answer": to_plain(answer_to_dict(answer)),
        }
        text = json.dumps(line, ensure_ascii=True) + "\n"
        try:
            with self._lock:
                self._append(text.encode())
        except OSError as error:
            raise StoreError(
                f"{self._path}: answers cannot be recorded ({error.strerror}); free or change it, or take `record` away"
            ) from error

    def _append(self, line: bytes) -> None:
        """One write, so that two processes' lines do not mix; what a kill cut short is taken away first."""
        make_private_folder(self._path.parent)
        create_private_file(self._path)
        with open(self._path, "ab+", buffering=0) as file:
            if not self._healed:
                file.seek(0)
                file.truncate(file.read().rfind(b"\n") + 1)
            self._healed = True
            file.write(line)
