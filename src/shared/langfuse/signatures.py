"""Thin door: how a delivery's signature is verified and its body read (docs/webhook.md)."""

from shared.langfuse.receiver.verify_signature import Forged, PromptEvent, Unreadable, sign, verify
from shared.langfuse.receiver.verify_signature import parse_prompt_event as prompt_event

__all__ = ["Forged", "PromptEvent", "Unreadable", "prompt_event", "sign", "verify"]
