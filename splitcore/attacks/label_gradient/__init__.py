"""The next token of each position from the gradient that goes up, through the public last layers."""
