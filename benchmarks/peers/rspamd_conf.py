"""The configuration of rspamd's milter proxy alone, with a scanner elsewhere."""

from pathlib import Path
from urllib.parse import urlsplit


def text(directory: Path, path: Path, url: str) -> str:
    """`path` is where it listens, `url` the scanner's address."""
    parts = urlsplit(url)
    return f"""
options {{
  pidfile = "{directory}/rspamd.pid";
  tempdir = "{directory}";
  rundir = "{directory}";
  dns {{ nameserver = ["127.0.0.1:5353"]; }}
  max_message = 128Mb;
  filters = "";
}}
logging {{ type = "file"; filename = "{directory}/rspamd.log"; level = "warning"; }}
metric {{ name = "default"; actions {{ reject = 100; }} }}
worker "rspamd_proxy" {{
  bind_socket = "{path} mode=0666";
  milter = yes;
  timeout = 120s;
  count = 1;
  max_retries = 2;
  upstream "stub" {{
    default = yes;
    hosts = "{parts.hostname}:{parts.port}";
    compression = no;
  }}
}}
"""
