"""Who is it?  Proof of the sender, and nothing about what they may do."""
