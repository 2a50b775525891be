"""What leaves is trained to depend less on the tokens, by distance correlation."""
