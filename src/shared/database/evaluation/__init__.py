"""The sink of `push_to_db`: the normalised tables in a database of the user's."""
