"""
Once for each key: what a policy asks, how a key is found, what is remembered.

Nothing here knows functions; `invoke` hands in what is to be run once.
"""
