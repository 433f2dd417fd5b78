"""Numbers and texts as a person reads them."""
