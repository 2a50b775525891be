"""Base models: cutting a stock decoder with slots, loading what a segment owns, the manifest, the admission test.

plan, files and manifest load no torch; slots, carve, twin, admission and loading do.
"""
