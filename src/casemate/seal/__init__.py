"""TODO seal."""
