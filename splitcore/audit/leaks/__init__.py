"""What must not be in a transcript, by the run's own declaration: a detector each, and their table (`registry`)."""
