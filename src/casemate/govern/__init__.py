"""TODO govern."""
