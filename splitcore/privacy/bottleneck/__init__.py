"""What leaves goes through a learned noisy channel, whose capacity costs."""
