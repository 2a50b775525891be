"""Every organisation takes part in every step, on one shared adapter."""
