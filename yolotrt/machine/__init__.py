"""What the machine is that measures: processor, GPU, libraries, memory, and what else runs on it."""
