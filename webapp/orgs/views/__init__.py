"""Pages of organisations, people and invitations."""
