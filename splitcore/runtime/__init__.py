"""What computes the body: on one device today; a chain of devices is a file beside it, behind the same four verbs."""
