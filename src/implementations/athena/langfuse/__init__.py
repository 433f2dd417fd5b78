"""What Athena tells the trace reader about its prompts."""
