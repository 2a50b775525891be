"""The hub in one file, and a hub out of such a file."""
