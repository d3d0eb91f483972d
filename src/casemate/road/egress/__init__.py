"""
Where code in a cell may speak.

A process of its own, `python -m casemate.road.egress`: it answers the DNS
questions of cells and takes their redirected connections.

    names    which name has which address, for which cell
    policy   where a connection may go
    dns      bytes of a question -> bytes of an answer
    report   what is told to the node, and how often
    gateway  the listeners of the cells
"""
