"""What remembers: the ports that the house is built on, and their drivers."""
