"""A run's life: what can happen to it, which state follows, and with which effects."""
