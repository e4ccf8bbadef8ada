"""Parts that tests of several folders are made of: worlds, clients, writers in processes of their own, strategies."""
