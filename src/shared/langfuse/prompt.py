"""Thin door: the prompt manager under the name that users know. The work is in `prompt_manager.py`."""

from shared.langfuse.compiling import PromptVariablesError, Strictness
from shared.langfuse.known import PromptChanged
from shared.langfuse.prompt_manager import LangfusePromptManager, PromptSettings
from shared.langfuse.prompts import NewPrompt, Prompt

__all__ = [
    "LangfusePromptManager",
    "NewPrompt",
    "Prompt",
    "PromptChanged",
    "PromptSettings",
    "PromptVariablesError",
    "Strictness",
]
