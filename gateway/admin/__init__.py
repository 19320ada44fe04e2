"""The HTTP side for operators: health, readiness, and messages tried out on the configured webhooks.

- `app`: the endpoints. `guard`: who may call them. `upload`: the message of a request.
- `simulation`: a simulated mail as JSON. `server`: an HTTP application on its socket.
"""
