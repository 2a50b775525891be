"""Each organisation trains a model of its own; all of them are averaged in rounds."""
