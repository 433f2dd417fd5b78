"""How to read the variables back out of Athena's prompts, whichever version was used."""

from __future__ import annotations

from collections.abc import Mapping

from trueline import PromptPatternsBase


class AthenaPatterns(PromptPatternsBase):
    """Patterns by step. A prompt may open with solved examples, so each pattern holds on to the prompt's end."""

    def _patterns_recommendation(self) -> Mapping[str, str]:
        return {
            "submission": r".*(?:\A|\n)Submission: ([^\n]*)\nGuide: ",
            "passages": r".*\nGuide: (.*?)\nThe guide says that this is\Z",
        }

    def _patterns_chat(self) -> Mapping[str, str]:
        return {
            "question": r".*\nQuestion: ([^\n]*)\nAnswer:\Z",
            "passages": r"(?:.*\n\n|\A)(.*?)\nQuestion: [^\n]*\nAnswer:\Z",
        }
