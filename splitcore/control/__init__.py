"""What a half is wanted to do, and what it tells while it runs: controller, events, clock."""
