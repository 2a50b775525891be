"""Each organisation trains a model of its own; the bodies are averaged in rounds, heads and tails are kept."""
