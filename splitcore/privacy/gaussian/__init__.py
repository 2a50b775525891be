"""Each token's vector is clipped to a norm, and Gaussian noise is added."""
