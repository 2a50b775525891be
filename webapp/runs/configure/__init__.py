"""The configure page: a form generated from RunConfig, presets, choices of parties and models, the live preview."""
