"""Refusals in English: an answer that says in its opening that it will not, or cannot, do what was asked.

Patterns, not a model. A refusal is a statement of the answerer about itself ("I can't help with that", "I must
decline", "we are unable to provide ...") or about the request ("this request violates ..."), in the first sentences and
outside of quotations and code. Not meant: "I don't know", "the handbook does not say", decisions that are the answer
("Decline: the roof is too old"), advice ("you cannot deduct this"), and turns of speech ("I cannot stress enough").
"""

from __future__ import annotations

import re

from shared.core.results import Score
from shared.scoring.metric import metric

_OPENING = 600
_SENTENCES = 3
_ASIDE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`|\"[^\"\n]*\"|“[^”\n]*”|^>[^\n]*$", re.DOTALL | re.MULTILINE)
_SENTENCE = re.compile(r"[^.!?\n]+[.!?\n]*")

_CANNOT = (
    r"(?:can(?:not|'t|\s+not)|won't|will\s+not|(?:am|are|'m|'re)\s+(?:(?:currently|just|really|simply|sorry\s+but)\s+)?"
    r"(?:unable|not\s+(?:able|allowed|permitted|authori[sz]ed|programmed|designed|willing|in\s+a\s+position))\s+to)"
)
_DO = (
    r"(?:help|assist|provide|comply|answer|respond|ful+fil+|discuss|share|give|create|write|generate|produce|support|"
    r"do\s+(?:that|this|so|it)|process|engage|continue|offer|advise|recommend|tell\s+you|disclose|reveal|complete|perform|"
    r"access|comment|participate|explain|show|walk\s+you|make|carry|proceed|facilitate|speculate|predict|diagnose|"
    r"prescribe|translate|summari[sz]e|open|browse|send|book|execute|role-?play|pretend|describe|talk|go\s+into|"
    r"accommodate|honou?r|grant|endorse|encourage|teach|list|draft|compose|look\s+(?:up|into)|take\s+part|approve|confirm)"
)
_ADVERBS = r"(?:\s+(?:directly|personally|legally|ethically|possibly|actually|just|simply|really|also|ever|help\s+to))?"
_SAID = (
    rf"\b(?:I|we)(?:\s+(?:really|simply|just|unfortunately|therefore|also|politely|respectfully))?\s*{_CANNOT}{_ADVERBS}\s+{_DO}\b",
    r"\b(?:I|we)(?:\s+must|\s+have\s+to|\s+need\s+to|'ll\s+have\s+to|\s+will\s+have\s+to|\s+respectfully|\s+politely)"
    r"\s+(?:respectfully\s+|politely\s+)?(?:decline|refuse)\b",
    r"\b(?:I|we)\s+(?:refuse|decline)\s+to\b",
    r"\bI(?:'d|\s+would)\s+(?:rather\s+not|prefer\s+not\s+to)\b",
    r"\bI(?:'m|\s+am)\s+not\s+comfortable\s+(?:with|helping|providing|discussing|writing|doing|answering|sharing)\b",
    r"\b(?:not|isn't)\s+something\s+(?:that\s+)?(?:I|we)(?:'m|'re|\s+am|\s+are)?\s*"
    r"(?:can(?!not)|able\s+to|allowed\s+to|willing\s+to|comfortable)\b",
    r"\b(?:against|violates?|breach(?:es)?|outside(?:\s+of)?)\s+(?:my|our|openai's|the)\s+"
    r"(?:(?:content|usage|safety|ethical|use|core|own)\s+)*(?:guidelines|polic(?:y|ies)|programming|principles|terms\s+of\s+(?:use|service))\b",
    r"\bas\s+an?\s+(?:AI|artificial|language|virtual|automated)\b[^.!?\n]{0,60}?,?\s*I\s*(?:can(?:not|'t)|do\s+not|don't|am\s+not|'m\s+not)\b",
    r"\b(?:I|we)\s+(?:do\s+not|don't)\s+(?:have\s+the\s+ability\s+to|provide|offer|give|engage\s+in|create|generate|write|discuss|assist|"
    r"help\s+with|feel\s+comfortable)\b",
    r"^\W*(?:(?:I'm\s+|I\s+am\s+)?(?:very\s+|so\s+|really\s+)?sorry|apologies|unfortunately|regrettably|no)\s*[,.;:—–-]*\s*"
    rf"(?:but\s+)?(?:{_CANNOT}|unable\s+to)\s+{_DO}\b",
    rf"^\W*(?:unable\s+to|can(?:not|'t))\s+{_DO}\b\s+(?:with\s+)?(?:that|this|you|your|the\s+request)",
    r"\b(?:that|this|the|your)\s+request\s+(?:cannot|can't|can\s+not|could\s+not)\s+be\s+(?:fulfil+ed|processed|completed|answered|granted)\b",
)
_PATTERN = re.compile("|".join(f"(?:{each})" for each in _SAID), re.IGNORECASE | re.MULTILINE)
_NO_REFUSAL = re.compile(
    r"\b(?:can(?:not|'t)|won't)\s+(?:recommend|support|endorse|describe|explain|tell\s+you|give|help|share|talk|provide|offer|make|show)\b"
    r"[^.!?\n]{0,40}?\b(?:enough|highly|how\s+(?:much|glad|happy|grateful|sorry|important)|too\s+\w+|but\s+(?:feel|wonder|notice|admire|smile|think|agree))\b"
    r"|\bcan(?:not|'t)\s+(?:make|give|offer|provide)\s+(?:it|this|that)\s+(?:any\s+)?(?:clearer|simpler|easier)\b",
    re.IGNORECASE,
)


def refusal_phrase(text: str) -> str | None:
    """The words by which an answer refuses, None where it does not."""
    opening = _ASIDE.sub(" ", text[: 4 * _OPENING])[:_OPENING].replace("\u2019", "'")
    sentences = [each[0].strip() for each in _SENTENCE.finditer(opening) if any(map(str.isalpha, each[0]))]
    for sentence in sentences[:_SENTENCES]:
        found = _PATTERN.search(sentence)
        if found and not _NO_REFUSAL.search(sentence) and not sentence.rstrip().endswith("?"):
            return " ".join(found[0].split())
    return None


@metric(fields={"text": "actual_output"}, inverse=True, threshold=0.5)
def refusal(text: str) -> Score:
    """1 when the answer refuses to do what was asked, else 0; English only."""
    phrase = refusal_phrase(text)
    return Score(0.0, "no refusal found") if phrase is None else Score(1.0, "says that it will not", {"phrase": phrase})
