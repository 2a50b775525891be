"""Split fine-tuning: the client half, the server half, and running both; `api` is the public face.

events loads no torch; the others do.
"""
