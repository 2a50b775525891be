"""How tensors are written on the wire: a folder per family of codecs, and a table of all of them (`registry`).

config.py     the byte layout, and the fields that a run's configuration has for it; no torch
codec.py      from a tensor to bytes and back, the same bits on every machine

`tensors` encodes and decodes by a codec's name. Nothing here depends on messages.
"""
