"""STS: who am I, and sessions of roles."""
