"""`alphapulse capture`: tools for captures, one file a subcommand."""
