"""What is particular to OpenAI-compatible servers: their settings, their errors, a connection to one."""
