"""The sinks `langfuse` and `langfuse-experiment`."""
