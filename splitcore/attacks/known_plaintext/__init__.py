"""A secret linear change of basis, found from rows that the observer knows, and undone."""
