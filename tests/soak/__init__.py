"""The soak: many runs on the real stack while its processes are killed; memory and descriptors must stay flat."""
