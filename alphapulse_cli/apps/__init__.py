"""Applications: one module or package for each task of a user, without its command line and screens."""
