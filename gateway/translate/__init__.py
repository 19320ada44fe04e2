"""Between the wire and the JSON contract; pure. Here bytes become text, and text bytes, once.

- `terms`: events and changes by their JSON names ↔ the protocol's commands and flags.
- `text`: bytes to text with a lossless sibling, and back.
- `facts`: what is known of an SMTP session and of its mail transaction.
- `render`: facts and an event to the request of one webhook.
- `form`: taking `multipart/form-data` apart.
- `payload`: requests whose message is too large for memory.
- `mime`: a message taken apart, for those who want it parsed.
- `change`: the changes of an answer, checked one by one.
- `answer`: a response to a judgement, checked whole before any of it counts.
"""
