"""The widgets of the live screen; one module each."""
