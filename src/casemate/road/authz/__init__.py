"""May they?  Every policy that speaks of the call, held together."""
