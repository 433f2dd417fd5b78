"""BERT's uncased WordPiece tokenizer: text -> numbers of word pieces, as the model all-MiniLM-L6-v2 was trained on.

Clean, lower case without accents, split at white space, punctuation and Chinese characters, then take from each word
the longest known piece from the left. Source: Devlin et al. 2018, arXiv:1810.04805, and its `tokenization.py`. The
vocabulary is that of bert-base-uncased (Apache-2.0), checked against its hash before it is used.
"""

from __future__ import annotations

import hashlib
import lzma
import re
import unicodedata
from functools import cached_property
from pathlib import Path

from shared.core.errors import ConfigError

VOCABULARY = Path(__file__).with_name("minilm_vocabulary.txt.xz")
SHA256 = "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"

_LONGEST_WORD = 100
_CHINESE = (
    "\u4e00-\u9fff\u3400-\u4dbf\uf900-\ufaff\U00020000-\U0002a6df\U0002a700-\U0002b81f"
    "\U0002b920-\U0002ceaf\U0002f800-\U0002fa1f"
)
_ALONE = re.compile(f"[{_CHINESE}]")
_DROPPED = ("Cc", "Cf", "Co", "Cs")
_ASCII_MARKS = frozenset("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")


class WordPiece:
    """The tokenizer. One instance remembers the words it has seen, up to some ten thousand."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[int, ...]] = {}

    def pieces(self, text: str) -> list[int]:
        """The numbers of the text's pieces, without the marks of beginning and end."""
        found: list[int] = []
        for word in _words(text):
            pieces = self._seen.get(word)
            if pieces is None:
                pieces = self._cut(word)
                if len(self._seen) < 20_000:
                    self._seen[word] = pieces
            found += pieces
        return found

    @cached_property
    def vocabulary(self) -> dict[str, int]:
        """Piece -> number; a piece that continues a word begins with `##`.

        Raises:
            ConfigError: when the file is not the one that belongs to the model.
        """
        content = lzma.decompress(VOCABULARY.read_bytes())
        if hashlib.sha256(content).hexdigest() != SHA256:
            raise ConfigError(f"{VOCABULARY.name} was changed: its SHA-256 is not {SHA256}; install trueline again")
        return {piece: number for number, piece in enumerate(content.decode().split("\n")[:-1])}

    def _cut(self, word: str) -> tuple[int, ...]:
        known, unknown = self.vocabulary, (self.vocabulary["[UNK]"],)
        if len(word) > _LONGEST_WORD:
            return unknown
        found, start = [], 0
        while start < len(word):
            mark = "##" if start else ""
            end = next((end for end in range(len(word), start, -1) if mark + word[start:end] in known), None)
            if end is None:
                return unknown
            found.append(known[mark + word[start:end]])
            start = end
        return tuple(found)


def _words(text: str) -> list[str]:
    """The text in lower case without accents, as words and marks."""
    if not text.isascii():
        text = _ALONE.sub(r" \g<0> ", "".join(map(_clean, text)))
        text = "".join(each for each in unicodedata.normalize("NFD", text) if unicodedata.category(each) != "Mn")
        text = "".join(map(str.lower, text))  # one by one: a word's last sigma is no exception
    else:
        text = "".join(map(_clean, text.lower())) if not text.isprintable() else text.lower()
    return "".join(f" {each} " if _is_mark(each) else each for each in text).split()


def _clean(each: str) -> str:
    """A character as the tokenizer sees it: white space is a blank, control characters are nothing."""
    if each in "\t\n\r" or (each.isspace() and unicodedata.category(each) != "Cc"):
        return " "
    return "" if each == "\ufffd" or unicodedata.category(each) in _DROPPED else each


def _is_mark(each: str) -> bool:
    return each in _ASCII_MARKS if each.isascii() else unicodedata.category(each)[0] == "P"
