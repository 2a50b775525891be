"""The client half and the server half, each from its start to its end, and the same training unsplit.

events loads no torch; the others do.
"""
