"""A gateway that lets anyone write a milter as a plain HTTP service.

The map, from the bottom up; imports point down only:

- `milter`: the protocol, pure: frames, commands, the state machine.
- `mail`: a mail transaction and the changes asked for, pure: the net result as milter packets.
- `contract`: the JSON contract; it knows nothing of milter.
- `translate`: between the two, pure; the only place where bytes become text.
- `webhook`: the HTTP client, lean and httpx behind one seam. `spool`: bodies in memory and on disk.
- `policy`: whom to ask, what answers mean together, what applies when one gives none.
- `observe`: the log lines. `server`: sockets, connections, deadlines, shutdown.
- `mta`: the other side: a message played through any milter, for `send` and for the admin API.
- `snoop`: a proxy that shows what an MTA and a milter say to each other.
- `config`: TOML, environment, flags. `assembly`: from settings to parts.
- `metrics`: what is counted. `recording`: what happened, for the inspector, for files and their replay.
- `admin`: the HTTP side for operators.
- `workers`: several processes that serve as one. `cli`: the command line.
"""
