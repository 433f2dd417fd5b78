"""What answers requests: the webhook's application and the prompt manager."""
