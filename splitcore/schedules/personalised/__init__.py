"""A shared body, and a head and tail of its own for each organisation."""
