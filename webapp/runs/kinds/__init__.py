"""The kinds of jobs at the hub: a file each, and a line of `registry.py`."""
