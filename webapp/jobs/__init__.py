"""Jobs of workers, and every attempt at one."""
