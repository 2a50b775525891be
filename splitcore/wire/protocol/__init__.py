"""What two halves agree on, whatever carries it: messages, frames and their limits, numbering, credit, the session."""
