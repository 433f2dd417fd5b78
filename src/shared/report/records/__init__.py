"""What reports show, gathered: small immutable records."""
