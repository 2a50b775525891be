"""A small head of its own at the cut, whose loss trains the first layers beside the gradient that comes back."""
