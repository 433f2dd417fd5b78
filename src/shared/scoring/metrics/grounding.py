"""Whether an answer is borne out by its sources: its words are found there, and its numbers and dates hard-checked.

    score = (share of the answer's content words that the sources contain)
          × (share of its figures that the sources bear out), halved as soon as one is not

so that an answer with a wrong figure never reaches 0.5. It is the *answer's* support by the sources that is measured,
not how much of the sources the answer repeats. Words are compared whole, without case and without stemming.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from shared.core.results import Score
from shared.scoring.metric import metric
from shared.scoring.text.figures import FIGURE_WORDS, find_figures, find_unsupported

# "no", "not" and their like are content: they turn a sentence round.
_STOP = """
    a about above after again all also am an and any are as at be because been before being below between both but
    by can could did do does doing down during each few for from further had has have having he her here hers him
    his how i if in into is it its itself just may me might more most must my of off on once one only or other our
    out over own per same shall she should so some such than that the their them then there these they this those
    through to too under until up upon us very was we were what when where which while who whom why will with would
    you your
"""
STOP_WORDS = frozenset(_STOP.split())

_WORD = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)*")
_POSSESSIVE = re.compile(r"['\u2019]s$")
# No claims: what points to a source ([1], [2, 3], [UW-12], (Source: ...)), what numbers a list, and a "Yes," in front.
_MARKS = re.compile(
    r"\[[A-Za-z._:/#-]*\d[\w.,:/#\s–-]*\]|[(\[](?i:sources?)\s?:[^()\[\]]*[)\]]|"
    r"^[ \t]*\d{1,2}[.)]\s|\A\s*(?i:yes|no)\b(?=\s*(?:[,.;:!–-]|\Z))",
    re.MULTILINE,
)


def find_words(text: str) -> list[str]:
    """The words of a text, without case and possessive endings, each once."""
    found = (
        _POSSESSIVE.sub("", hit.group(0)) for hit in _WORD.finditer(unicodedata.normalize("NFKC", text).casefold())
    )
    return list(dict.fromkeys(found))


def grounding_score(pred: str, sources: str | Sequence[str], *, hard: bool = False) -> float:
    """How far the sources bear out the answer, from 0 to 1; 0 for an answer that claims nothing."""
    found = grounding(pred, sources, hard=hard)
    return 0.0 if found is None else found.value


@metric(name="grounding_score", fields={"pred": "actual_output", "sources": "retrieved_content"}, threshold=0.5)
def grounding(pred: str, sources: str | Sequence[str], *, hard: bool = False) -> Score | None:
    """How far the sources support the answer's words, numbers and dates."""
    source = sources if isinstance(sources, str) else "\n".join(sources)
    claims, rest = find_figures(_MARKS.sub(" ", pred))
    content = [word for word in find_words(rest) if word not in STOP_WORDS and word not in FIGURE_WORDS]
    if not content and not claims:
        return None
    known = set(find_words(source))
    missing = [word for word in content if word not in known]
    wrong = find_unsupported(claims, find_figures(source)[0])
    value = 1 - len(missing) / len(content) if content else 1.0
    if wrong:
        value *= 0.0 if hard else 0.5 * (1 - len(wrong) / len(claims))
    shown = [each.text for each in wrong]
    signals = {
        "words": len(content),
        "missing_words": missing[:20],
        "figures": len(claims),
        "missing_figures": shown[:20],
    }
    return Score(value, _explain(missing, content, shown, len(claims)), signals)


def _explain(missing: Sequence[str], content: Sequence[str], wrong: Sequence[str], claims: int) -> str:
    parts = [f"{len(wrong)} of {claims} figures are not in the sources: {_join_some(wrong)}"] if wrong else []
    if missing:
        parts.append(f"{len(missing)} of {len(content)} words are not in the sources: {_join_some(missing)}")
    return "; ".join(parts) or f"all {len(content)} words and {claims} figures are in the sources"


def _join_some(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
