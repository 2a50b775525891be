"""What the hub's pages and the worker's console have in common: components as template tags, icons, formats, states."""
