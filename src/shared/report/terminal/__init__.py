"""What commands print of stored runs."""
