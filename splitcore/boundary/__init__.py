"""Everything done to a tensor as it crosses the cut, at either end of a conversation."""
