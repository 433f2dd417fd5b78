"""The sources `langfuse` and `langfuse_dataset`, and the label source `langfuse`."""
