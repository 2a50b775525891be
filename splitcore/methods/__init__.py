"""Ways to train beside the split itself: a folder for each, and the table of all (`registry`)."""
