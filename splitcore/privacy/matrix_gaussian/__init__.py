"""Each row's hidden states are clipped together to a norm, and Gaussian noise of a stated (ε, δ) is added."""
