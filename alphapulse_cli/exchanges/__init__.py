"""All we know about each exchange: facts, a decoder and an encoder each."""
