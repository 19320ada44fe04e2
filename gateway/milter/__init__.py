"""The milter protocol, versions 2 to 6, without any input or output.

Nothing in this package opens a socket, reads a clock or writes a log; everything is synchronous and made of bytes.

- `constants`: the numbers and letters of the protocol, each with its libmilter name.
- `errors`: what can be wrong with what the other side sent.
- `messages`: the vocabulary: commands from the MTA, replies and edits to it, as frozen values.
- `codec`: bytes to frames, frames to commands, replies to bytes (the filter's side of the wire).
- `mta_codec`: the other direction (the MTA's side), for `send` and for tests.
- `macros`: which macro is visible when.
- `session`: the state machine: what may follow what, and who owes a reply.

The protocol is that of Sendmail 8.17 (`include/libmilter/mfdef.h`, `mfapi.h`) and Postfix (`src/milter/milter8.c`).
"""
