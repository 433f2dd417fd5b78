"""Thin door: the receiver of Langfuse's webhook, for `uvicorn shared.langfuse.webhook:app` (docs/webhook.md).

It is built at start-up by `wiring/serve/webhook_app.py`.
"""

from shared.core.lazy_asgi import LazyAsgiApp

app = LazyAsgiApp("shared.wiring.serve.webhook_app:webhook_app", extra="serve")
