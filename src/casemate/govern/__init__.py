"""
Reads records, never traffic: cost, evidence, response.

Nothing is here yet; the room is drawn so that the tree does not move later.
"""
