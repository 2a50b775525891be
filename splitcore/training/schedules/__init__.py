"""How several data parties train together: what the modes need beside the common step."""
