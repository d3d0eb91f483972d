"""
The keyholder: the only process that sees a key.

It answers a few verbs of the node, each metered, the rare ones recorded.  It
knows nothing of Casemate beyond them; standard library and `cryptography`.
"""
