"""Slack: messages to people. Imports core only."""
