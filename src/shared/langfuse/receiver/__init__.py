"""The receiver of Langfuse's webhook."""
