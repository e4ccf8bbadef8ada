"""One module per thing a person asks for; the same things from Python."""
