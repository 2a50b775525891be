"""The end of a run: its segments come in, are joined, checked by the workers, packaged and handed out."""
