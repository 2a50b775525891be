"""Evaluation of a fine-tuned model: completions, token loss and exact match."""
