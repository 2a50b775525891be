"""Each output that comes down is completed by the public last layers: what they expect next is the guess."""
