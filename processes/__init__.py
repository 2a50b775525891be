"""Child processes that end with their parent, the Redis-compatible server of hub and workers, PostgreSQL for tests."""
