"""The TLS of the front."""

from __future__ import annotations

import os
import ssl

_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""For TLS 1.2: forward secrecy and authenticated encryption, nothing else."""


def server_context(chain: str, key: str) -> ssl.SSLContext:
    """
    Make the context of a server from PEM texts: chain (leaf first) and key.

    The key passes through anonymous memory, never a file with a name, because
    `ssl` loads from paths alone.  Raises ssl.SSLError.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    context.set_alpn_protocols(["http/1.1"])
    context.options |= (
        ssl.OP_NO_RENEGOTIATION
        | ssl.OP_NO_COMPRESSION
        | ssl.OP_CIPHER_SERVER_PREFERENCE
    )
    load_leaf(context, chain, key)
    return context


def load_leaf(context: ssl.SSLContext, chain: str, key: str) -> None:
    """
    Put a leaf into a context, for the handshakes from now on.

    Raises ssl.SSLError.
    """
    descriptor = os.memfd_create("leaf", os.MFD_CLOEXEC)
    try:
        with os.fdopen(descriptor, "wb", closefd=False) as file:
            file.write(f"{chain.rstrip()}\n{key.rstrip()}\n".encode("ascii"))
        os.lseek(descriptor, 0, os.SEEK_SET)
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
