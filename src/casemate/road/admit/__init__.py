"""Is there room?  Rates and concurrency; the place is given back."""
