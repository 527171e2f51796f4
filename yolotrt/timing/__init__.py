"""Clocks and spans; every measurement's clock is read here."""
