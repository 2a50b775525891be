"""A further migration on the hub's database, as a later version would bring one. For the drill of a migration alone."""
