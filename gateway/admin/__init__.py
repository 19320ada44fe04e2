"""The HTTP side for operators: health, readiness, messages tried out on the configured webhooks, the inspector.

- `app`: the endpoints. `guard`: who may call them. `upload`: the message of a request.
- `simulation`: a simulated mail as JSON. `server`: an HTTP application on its socket.
- `page`: the inspector for browsers, whose parts lie in `inspector/`. `inspection`: the routes that it asks.
"""
