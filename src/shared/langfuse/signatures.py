"""Thin door: how a delivery's signature is verified and its body read (docs/webhook.md)."""

from shared.http.verify_signature import Forged, sign, verify
from shared.langfuse.receiver.prompt_event import PromptEvent, Unreadable
from shared.langfuse.receiver.prompt_event import parse_prompt_event as prompt_event

__all__ = ["Forged", "PromptEvent", "Unreadable", "prompt_event", "sign", "verify"]
