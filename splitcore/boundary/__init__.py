"""What is done to a tensor where it crosses the cut, at either end of a conversation."""
