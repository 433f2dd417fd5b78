"""Thin door: the receiver of Langfuse's webhook, for `uvicorn shared.langfuse.webhook:app` (docs/webhook.md).

It is built at start-up by `wiring/serve_webhook.py`.
"""

from shared.core.doors import AsgiDoor

app = AsgiDoor("shared.wiring.serve_webhook:webhook_app", extra="serve")
