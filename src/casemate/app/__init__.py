"""The node: composes the rooms and the services, and knows all of them."""
