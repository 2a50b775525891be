"""Each token's vector is clipped, and noise of uniform direction and Gamma-distributed length is added."""
