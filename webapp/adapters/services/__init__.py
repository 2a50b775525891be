"""What is done with an adapter's files: judged, joined, described and packed. Nothing here knows a run's state."""
