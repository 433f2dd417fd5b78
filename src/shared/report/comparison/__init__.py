"""Two stored runs beside one another."""
