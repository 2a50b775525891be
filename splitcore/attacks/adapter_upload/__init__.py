"""Which tokens were in a batch, from the gradients of the first layer's adapter that a party uploads."""
