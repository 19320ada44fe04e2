"""Several processes that serve the same addresses, and the one that watches over them.

The parent binds every socket and keeps it: one for each worker where the address is TCP (SO_REUSEPORT, so that the
kernel spreads the connections), one for all of them where it is a unix socket. A worker that dies leaves its queue of
connections behind, and its replacement goes on with it. Workers are programs of their own rather than forks, since a
process with an event loop and threads cannot be forked safely.
"""
