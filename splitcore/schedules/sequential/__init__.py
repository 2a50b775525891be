"""One organisation after the other, in the contract's order."""
