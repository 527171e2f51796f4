"""The steps joined: from a model's name to an engine file, every step cached."""
