"""The configuration: a TOML file, then the environment, then flags; the later wins, and all faults come in one go.

- `load`: the way in: `load` for the command line, `parse` for programs.
- `settings`, `webhook`: what can be configured, as frozen models; each field is a key.
- `units`, `spec`, `values`, `files`: how single values are read.
- `sources`: the three layers, and who is to blame for a value.
- `checks`: keys against each other. `faults`: how it is said.
"""

from gateway.config.faults import ConfigError, Fault
from gateway.config.files import FileSecret
from gateway.config.load import load, parse
from gateway.config.settings import Admin, Limits, Settings
from gateway.config.sources import Flags
from gateway.config.spec import HostPort, ListenSpec, SpecError, TcpSpec, UnixSpec, parse_host_port, parse_spec
from gateway.config.values import HeaderValue, Network, NetworkRule
from gateway.config.webhook import FailureWord, Tls, Webhook, When

__all__ = [
    "Admin",
    "ConfigError",
    "FailureWord",
    "Fault",
    "FileSecret",
    "Flags",
    "HeaderValue",
    "HostPort",
    "Limits",
    "ListenSpec",
    "Network",
    "NetworkRule",
    "Settings",
    "SpecError",
    "TcpSpec",
    "Tls",
    "UnixSpec",
    "Webhook",
    "When",
    "load",
    "parse",
    "parse_host_port",
    "parse_spec",
]
