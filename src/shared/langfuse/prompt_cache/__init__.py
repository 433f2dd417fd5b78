"""Prompts for a running application: cached, compiled, invalidated."""
