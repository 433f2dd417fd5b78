"""Events and metrics for other observability systems: best effort, never a reason for a run to fail."""
