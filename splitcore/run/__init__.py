"""One run as a half meets it: what it is given, and what follows from the configuration."""
