"""Terminal tables and one HTML file, from stored records."""
