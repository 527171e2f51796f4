"""Files on disk: the only room that writes them."""
