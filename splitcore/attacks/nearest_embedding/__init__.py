"""Each vector is taken for the token whose embedding lies nearest to it: the weakest attack."""
