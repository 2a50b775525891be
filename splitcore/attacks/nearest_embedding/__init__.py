"""Each vector is matched to the token with the nearest embedding: the weakest attack."""
