"""What leaves is trained against a reader that is trained to read it."""
