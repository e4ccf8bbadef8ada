"""The screens of the live screen; one module each."""
