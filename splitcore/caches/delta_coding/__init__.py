"""Only what has changed of a row's activations since its last visit crosses."""
