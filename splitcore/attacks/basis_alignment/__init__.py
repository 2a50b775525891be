"""A secret rotation or permutation, found without a known row, from what it leaves unchanged, and undone."""
