"""TODO supply."""
