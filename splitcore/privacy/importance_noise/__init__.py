"""Each token's vector is clipped, and Gaussian noise is added that is larger for rarer tokens."""
