"""Which language a text is written in, by py3langid: naive Bayes over letters, with its model in the package.

The model's file is checked against its hash before it is loaded; nothing is unpickled and nothing is downloaded.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from shared.core.errors import ConfigError

SHA256 = "f4f4a2c3465ca1f081541037f9cac23021d68151c2f709c55ae5eedfca522963"

_NOT_PROSE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`|https?://\S+|(?<!\S)\S+@\S+", re.DOTALL)
_MOST_CHARS = 10_000
_OTHER_NAMES = {"nb": "no", "iw": "he", "in": "id", "fil": "tl"}
_NO_LANGUAGE = "zxx"


class DetectedLanguage(NamedTuple):
    """A language's ISO 639-1 code, and how sure the model is of it, from 0 to 1."""

    code: str
    confidence: float


def primary_language(code: str) -> str:
    """The language of a tag such as `pt-BR`: `pt`."""
    found = re.split(r"[-_]", code.strip())[0].lower()
    return _OTHER_NAMES.get(found, found)


@cache
def language_codes() -> tuple[str, ...]:
    """The codes of the languages that can be told apart."""
    return tuple(sorted(set(_load_identifier(()).labels) - {_NO_LANGUAGE}))


def detect_language(text: str, among: tuple[str, ...] = (), min_letters: int = 15) -> DetectedLanguage | None:
    """The language of a text, one of `among` when given; None when it has fewer than `min_letters` letters (a Chinese,
    Japanese or Korean one counts as three) or is in none.

    Code, web and e-mail addresses are left out; of a long text the first 10,000 characters are read.
    """
    prose = _NOT_PROSE.sub(" ", text[:_MOST_CHARS])
    letters = sum(each.isalpha() * (3 if "\u2e80" <= each <= "\uffdc" else 1) for each in prose)
    if letters < min_letters:
        return None
    found = DetectedLanguage(*_load_identifier(among).classify(prose))
    return None if found.code == _NO_LANGUAGE else found


@lru_cache(maxsize=8)
def _load_identifier(among: tuple[str, ...]) -> Any:
    """The model, for all languages or for some.

    Raises:
        ConfigError: when its file is not the one that was looked at.
    """
    from py3langid.langid import LanguageIdentifier

    spec = importlib.util.find_spec("py3langid.langid")
    path = Path(str(spec.origin if spec else "")).with_name("data") / "model.npz.xz"
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != SHA256:
        raise ConfigError(f"{path}: found a model with SHA-256 {found}; expected {SHA256}: it is not loaded")
    made = LanguageIdentifier.from_modelpath(path, norm_probs=True)
    if among:
        made.set_languages(among)
    return made
