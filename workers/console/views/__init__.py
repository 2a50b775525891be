"""Views of the console: pages, and the steps of adding a dataset."""
