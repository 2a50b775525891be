"""Each vector is mixed with an earlier one of its row, in secret shares."""
