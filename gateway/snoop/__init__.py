"""A proxy between an MTA and any milter that shows what both say, and changes nothing.

- `frames`: a stream of bytes as packets, also where it is none. `words`: the names of commands and flags.
- `decode`: what a packet says. `lines`: that as text or JSON. All of these are pure.
- `printer`: a thread that writes; mail never waits for it. `proxy`: the sockets.
"""
