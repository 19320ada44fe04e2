"""A message taken apart for those who want it parsed (contract section 4); pure, and it never fails (docs/parsed.md).

The grammar of header fields is the standard library's. The structure is found here, on bytes and piece by piece: the
standard library's parser takes ten times the size of a message in memory and seconds for 50 MiB, and its newer header
classes are quadratic (nine seconds for one field of 18 KiB).

- `source`: the bytes, in memory or on disk, read in windows.
- `header`: the fields of a message or of one of its parts. `values`: what they say, as text.
- `encodings`: transfer encodings and charsets.
- `structure`: multipart to leaves.
- `parse`: all of it.
"""

from gateway.translate.mime.parse import parse, unparsed
from gateway.translate.mime.source import HIDDEN, Memory, Source
from gateway.translate.mime.words import FAULTS, words

__all__ = ["FAULTS", "HIDDEN", "Memory", "Source", "parse", "unparsed", "words"]
