"""The offline embedding model: its tokenizer, its vectors, and what it refuses to load."""

from __future__ import annotations

import lzma
import math
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from operator import mul
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import shared.llm.offline_embeddings as offline
import shared.llm.wordpiece as wordpiece
from shared.core.errors import ConfigError
from shared.llm.offline_embeddings import OfflineEmbedder
from shared.llm.wordpiece import WordPiece
from tests.core.items import repeatably

KNOWN = [
    ("The deductible is $500.", [1996, 2139, 8566, 6593, 7028, 2003, 1002, 3156, 1012]),
    ("Ünïcode café — naïve façade!", [27260, 7668, 1517, 15743, 8508, 999]),
    ("unaffable\tHELLO\r\nWorld", [14477, 20961, 3468, 7592, 2088]),
    ("屋根が漏れる 2024年", [100, 100, 1651, 100, 1688, 30213, 16798, 2549, 1840]),
    ("İstanbul ΣΊΣΥΦΟΣ straße", [9960, 1173, 18199, 29733, 29735, 29736, 29730, 29733, 2358, 27807]),
    ("a\u200bb \x00c\ufffdd\xa0e", [11113, 3729, 1041]),
    ("x" * 101 + " y", [100, 1061]),
    ("🙂 ok", [100, 7929]),
    ("don't e-mail@x.com", [2123, 1005, 1056, 1041, 1011, 5653, 1030, 1060, 1012, 4012]),
    ("한국어 नमस्ते", [1469, 30006, 30021, 29991, 30014, 30020, 29999, 30008, 1327, 29867, 29874, 29859]),
]
"""Texts and what the package `tokenizers` makes of them with the model's own `tokenizer.json`."""


@pytest.fixture(scope="module")
def model() -> OfflineEmbedder:
    return OfflineEmbedder()


def near(model: OfflineEmbedder, one: str, other: str) -> float:
    """The cosine of two texts; their vectors have length 1."""
    left, right = model.vectors([one, other])
    return math.fsum(map(mul, left, right))


@pytest.mark.parametrize(("text", "pieces"), KNOWN)
def test_pieces_are_those_of_the_models_own_tokenizer(text: str, pieces: list[int]) -> None:
    """Accents, case, control characters, Chinese, emoji, long words: number for number."""
    assert WordPiece().pieces(text) == pieces


def test_control_words_in_a_text_are_text() -> None:
    """An answer that writes [SEP] or [MASK] writes brackets and letters; it does not end the model's input."""
    assert not {100, 101, 102, 103} & set(WordPiece().pieces("a [SEP] b [MASK] c [CLS]"))


@repeatably
@given(st.text(), st.text())
def test_white_space_between_texts_keeps_their_pieces(one: str, other: str) -> None:
    """Pieces never reach over white space, and none is outside of the vocabulary."""
    tokenizer = WordPiece()
    assert tokenizer.pieces(f"{one}\n{other}") == tokenizer.pieces(one) + tokenizer.pieces(other)
    assert all(0 <= piece < 30_522 for piece in tokenizer.pieces(one))


def test_vectors_have_length_one(model: OfflineEmbedder) -> None:
    """384 numbers each."""
    for vector in model.vectors(["The roof leaks.", "屋根"]):
        assert len(vector) == 384
        assert math.hypot(*vector) == pytest.approx(1.0)


SAME = [
    ("The policy covers water damage from burst pipes.", "Burst pipes are covered by the policy."),
    ("We are closed on Sundays.", "The shop does not open on Sunday."),
    ("He was born in Vienna in 1890.", "Vienna is his birthplace; the year was 1890."),
    ("The meeting was moved to Friday.", "They rescheduled the meeting for Friday."),
    ("You pay the first $500 yourself.", "The deductible is 500 dollars."),
]


def test_what_means_the_same_is_nearer_than_what_does_not(model: OfflineEmbedder) -> None:
    """Every paraphrase is nearer than every pair of different subjects."""
    same = [near(model, one, other) for one, other in SAME]
    different = [near(model, one, other) for one, _ in SAME for _, other in SAME if (one, other) not in SAME]
    assert min(same) > 0.5 > 0.4 > max(different)


def test_a_long_text_is_read_in_windows_up_to_the_eighth(model: OfflineEmbedder) -> None:
    """What stands in the second window counts; what comes after the last does not; a megabyte is no problem."""
    start = "The roof leaks. " * 100
    assert model.vectors([start]) != model.vectors([start + "Grass is green. " * 100])
    assert model.vectors([start * 7]) == model.vectors([start * 700])


def test_a_missing_extra_names_the_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    """One command helps."""

    class Absent:
        def find_spec(self, name: str, path: Sequence[str] | None, target: object = None) -> ModuleSpec | None:
            if name.split(".")[0] == "onnxruntime":
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)
            return None

    for name in [each for each in sys.modules if each.split(".")[0] == "onnxruntime"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Absent(), *sys.meta_path])
    with pytest.raises(ConfigError, match=r"pip install 'trueline\[semantic\]'"):
        OfflineEmbedder()


def test_other_weights_are_not_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A re-upload under the same name does not run here."""
    monkeypatch.setattr(offline, "SHA256", "0" * 64)
    with pytest.raises(ConfigError, match=f"SHA-256 .*expected {'0' * 64}: they are not loaded"):
        OfflineEmbedder()


def test_another_vocabulary_is_not_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Pieces would get wrong numbers, and every similarity would be wrong in silence."""
    changed = tmp_path / "minilm_vocabulary.txt.xz"
    changed.write_bytes(lzma.compress(lzma.decompress(wordpiece.VOCABULARY.read_bytes()) + b"more\n"))
    monkeypatch.setattr(wordpiece, "VOCABULARY", changed)
    with pytest.raises(ConfigError, match="was changed"):
        WordPiece().pieces("a")
