"""Measuring what crosses the cut: a training on a party's own rows whose frames are recorded (`capture`)."""
