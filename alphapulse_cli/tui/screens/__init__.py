"""The numbered screens, and what is shown over them; one module each."""
