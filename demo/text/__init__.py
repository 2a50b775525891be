"""Text that the project generates itself: general practice for the base model and two private domains."""
