"""What can go wrong on the wire.

MilterError
├── ProtocolError   the other side broke the protocol: log one line, send nothing, close
└── EncodingError   our side asked for something that no frame can carry: a bug above this layer
"""


class MilterError(Exception):
    """The base of everything that this package raises."""


class ProtocolError(MilterError):
    """The peer sent what the protocol forbids; the connection cannot go on."""


class EncodingError(MilterError):
    """A value that does not fit the wire was to be sent; callers check before they send."""
