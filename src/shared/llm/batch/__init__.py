"""The batch lane: questions sent through a provider's batch API."""
