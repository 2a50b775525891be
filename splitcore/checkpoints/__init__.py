"""A half's state on disk: whole or not at all, and when it is saved and taken up again."""
