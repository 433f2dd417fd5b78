"""The language that an answer is written in, against the one that it should be."""

from __future__ import annotations

from typing import Annotated

from annotated_types import Ge, Le

from shared.core.errors import ItemError
from shared.core.records import DatasetItem
from shared.core.results import Score
from shared.scoring.metric import metric
from shared.scoring.parameter_types import AtLeastOne, ItemPath, Language, Languages
from shared.scoring.text.language_detection import detect_language, language_codes, primary_language

Share = Annotated[float, Ge(0.0), Le(1.0)]


@metric(needs=("actual_output",), threshold=0.5)
def language(
    item: DatasetItem,
    *,
    expected: Language | None = None,
    expected_from: ItemPath | None = None,
    languages: Languages | None = None,
    min_letters: AtLeastOne = 15,
    min_confidence: Share = 0.5,
) -> Score | None:
    """1 when the answer is in the expected language, else 0; does not apply to short or unclear texts."""
    among = tuple(languages or ())
    found = detect_language(item.actual_output or "", among, min_letters)
    wanted = expected or _expected_language(item, expected_from, among, min_letters, min_confidence)
    if found is None or wanted is None or found.confidence < min_confidence:
        return None
    why = f"written in {found.code!r}, expected {wanted!r}"
    return Score(float(found.code == wanted), why, {"language": found.code, "confidence": found.confidence})


def _expected_language(
    item: DatasetItem, path: str | None, among: tuple[str, ...], letters: int, least: float
) -> str | None:
    """The language that the item says, under a path or by its query; None where it says none clearly.

    Raises:
        ItemError: when what stands under the path is no language's code.
    """
    if path is not None and path != "query":
        said = item.get(path)
        if said is None or said == "":
            return None
        if not isinstance(said, str) or primary_language(said) not in language_codes():
            raise ItemError(f"{path}: found {said!r}; expected a language's code such as 'en' or 'pt-BR'")
        return primary_language(said)
    asked = detect_language(item.query or "", among, letters)
    return asked.code if asked is not None and asked.confidence >= least else None
