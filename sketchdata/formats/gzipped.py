"""Unpacking gzip as it streams by."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from sketchdata.errors import FormatError

_BLOCK_BYTES = 1 << 20
_GZIP = 16 + zlib.MAX_WBITS


def gunzip(blocks: Iterator[bytes], name: str) -> Iterator[bytes]:
    """Unpack gzip of one or more members (RFC 1952) in pieces of at most 1 MiB; `name` is for messages.

    Raises:
        FormatError: The gzip is damaged or ends early.
    """
    unpack = zlib.decompressobj(_GZIP)
    try:
        for block in blocks:
            rest = block
            # Between members, and after the last one, gzip allows padding with zeros.
            while rest := rest.lstrip(b"\0") if unpack.eof else rest:
                unpack = zlib.decompressobj(_GZIP) if unpack.eof else unpack
                # Bounded, since 1 MiB of gzip may hold 1 GiB.
                piece = unpack.decompress(rest, _BLOCK_BYTES)
                rest = unpack.unused_data if unpack.eof else unpack.unconsumed_tail
                if piece:
                    yield piece
        while not unpack.eof and (piece := unpack.decompress(b"", _BLOCK_BYTES)):
            yield piece
    except zlib.error as error:
        raise FormatError("damaged gzip", f"{name}: {error}; fetch it again") from error
    if not unpack.eof:
        raise FormatError("truncated gzip", f"{name} ends in the middle of its data; fetch it again")
