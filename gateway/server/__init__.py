"""The service on its sockets.

- `connection`: one milter connection: bytes in, the conversation asked, bytes out.
- `deadlines`: how long a peer may take for a packet, and how long it may be silent.
- `listener`: TCP and unix sockets, who may connect, how many at once.
- `service`: start, reload, drain, stop.
"""
