"""Seals: envelope encryption, the audit chain, its checkpoints, opaque tokens."""
