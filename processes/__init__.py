"""Child processes that end with their parent, and the Redis-compatible server that the hub and each worker need."""
