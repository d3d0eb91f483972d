"""
What may be deployed: signatures, provenance, bills of material, pins.

Nothing is here yet; the room is drawn so that the tree does not move later.
"""
