"""A model that is trained on the observer's own text to read tokens from hidden states."""
