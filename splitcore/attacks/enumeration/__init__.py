"""Each row is read from left to right: every likely next token is tried, and compared with what arrived."""
