"""`trueline webhook`: serve the receiver of Langfuse's webhook, with limits that hold under attack."""

from __future__ import annotations

from argparse import Namespace

from shared.core.errors import ConfigError
from shared.core.registry import install_command
from shared.wiring.serve.webhook_settings import webhook_settings


def main(options: Namespace) -> int:
    """Serve until SIGTERM or Ctrl-C.

    Raises:
        ConfigError: when a setting is wrong or the extra `serve` is not installed.
    """
    webhook_settings()  # one clear error, not one of each worker again and again
    try:
        import uvicorn
    except ModuleNotFoundError as error:
        raise ConfigError(f"trueline webhook needs the extra serve: {install_command('serve')}") from error
    uvicorn.run(
        "shared.langfuse.webhook:app",
        host=options.host,
        port=options.port,
        workers=options.workers,
        http="shared.wiring.serve.guarded_http:GuardedHttpProtocol",
        ws="none",
        access_log=False,
        timeout_graceful_shutdown=10,
    )
    return 0
