"""Thin door: the prompt manager under the name that users know. The work is in `prompt_cache/prompt_manager.py`."""

from shared.langfuse.api.prompt_api import LangfusePrompt, NewPrompt
from shared.langfuse.prompt_cache.compile_prompt import PromptVariablesError, Strictness
from shared.langfuse.prompt_cache.invalidations import PromptChanged
from shared.langfuse.prompt_cache.prompt_manager import LangfusePromptManager, PromptSettings

Prompt = LangfusePrompt

__all__ = [
    "LangfusePrompt",
    "LangfusePromptManager",
    "NewPrompt",
    "Prompt",
    "PromptChanged",
    "PromptSettings",
    "PromptVariablesError",
    "Strictness",
]
