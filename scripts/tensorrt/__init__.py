"""TensorRT plans: the command line that builds them, what they are bound to, and whether they fit what is there."""
