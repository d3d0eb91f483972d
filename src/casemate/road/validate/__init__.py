"""Does it hold its schema?  The model's rules, and only what is enforced."""
