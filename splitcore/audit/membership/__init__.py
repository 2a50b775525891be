"""Whether a released adapter tells which rows it was trained on: scores, their figures, and a one-run audit of an ε."""
