"""TODO road."""
