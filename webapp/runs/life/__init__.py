"""A run's life: what can happen to it, where it then stands, and what follows."""
