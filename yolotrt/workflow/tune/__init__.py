"""The search for the engine and settings that are fastest within budgets and accuracy."""
