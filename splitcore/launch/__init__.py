"""Whole runs on this machine: the public face, and halves as threads or as processes of a fork server."""
