"""Records and ports of what is stored between runs: outbox, claims, deliveries, human labels."""
