"""Datasets of a site: reading files, checking rows, measuring lengths, storing versions. Rows never leave from here.

readers   one row at a time out of JSON lines, CSV or Parquet, with line numbers
rows      which columns play which role, and what is wrong with a row
lengths   token lengths with a base model's tokenizer
ingest    a file → a checked, staged dataset → a version
store     the versions on disk, and the rows for a job
uploads   resumable uploads in chunks
"""
