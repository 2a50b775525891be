"""What a run's page says: status sentence, time left, tiles, lanes, timeline, samples; the same for every browser."""
