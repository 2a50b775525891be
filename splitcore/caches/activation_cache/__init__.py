"""A frozen head's activations are kept at the compute organisation, so that each row crosses once."""
