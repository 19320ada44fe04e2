"""What happened, kept for people: for the inspector, the admin API, recordings in files and their replay.

- `records`: the values: sessions, transactions, exchanges; and what the API shows of them
- `recorder`: the observer that makes them from the facts of the policy
- `attempts`: what the webhook clients tell while a call is under way
- `archive`: keeps them for a while, within bounds, and tells those who watch (`feed`)
- `recording`: all that keeps, as one
- `journal`: writes exchanges to a file, one JSON value a line; `redaction` hides who wrote what in it
- `request_text`: an exchange as a command for curl
- `replay`: sends an exchange again and says what differs

Bodies and subjects are kept only where `[admin] record` is on. It must not decide anything about mail.
"""

from gateway.recording.archive import Archive, Bounds
from gateway.recording.journal import Journal, RecordingError
from gateway.recording.recorder import Recorder
from gateway.recording.recording import Recording
from gateway.recording.records import Exchange, Keeper, Session, Transaction, Webhook
from gateway.recording.redaction import Redaction

__all__ = [
    "Archive",
    "Bounds",
    "Exchange",
    "Journal",
    "Keeper",
    "Recorder",
    "Recording",
    "RecordingError",
    "Redaction",
    "Session",
    "Transaction",
    "Webhook",
]
