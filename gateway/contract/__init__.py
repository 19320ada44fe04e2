"""The JSON contract between the gateway and a webhook, version 1; it knows nothing of the milter protocol.

- `words`: events, actions and changes by their JSON names, and what may be answered where.
- `request`: what a webhook is sent.
- `response`: what it may answer, decoded strictly: a misspelt key must fail, not pass mail.
- `schema`: both as JSON Schema; `openapi` as OpenAPI. `fields`: what they say about each field, from `descriptions` and
  `samples`.
"""

VERSION = 1
