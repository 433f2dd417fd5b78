"""Redaction: finds personal data and secrets in texts and takes them out. Imports core only."""
