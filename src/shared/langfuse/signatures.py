"""Thin door: how a delivery's signature is verified and its body read (docs/webhook.md)."""

from shared.langfuse.receiver.prompt_event import PromptEvent, Unreadable
from shared.langfuse.receiver.prompt_event import parse_prompt_event as prompt_event
from shared.langfuse.receiver.verify_signature import Forged, sign, verify

__all__ = ["Forged", "PromptEvent", "Unreadable", "prompt_event", "sign", "verify"]
