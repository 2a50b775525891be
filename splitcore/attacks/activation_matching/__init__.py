"""Inputs of the public first layers are moved until their output matches what crossed."""
