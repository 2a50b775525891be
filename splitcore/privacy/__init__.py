"""Defences for what a data party sends: a folder each, and a table of all of them (`registry`)."""
