"""
The warden: the only code of Casemate that runs as root.

It parses nothing that comes from a function or from the network.
Standard library only; nothing of `casemate` is imported here.
"""
