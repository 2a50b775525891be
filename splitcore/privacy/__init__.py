"""Defences of what a data party hands over: a folder for each, and the table of all (`registry`)."""
