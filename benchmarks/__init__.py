"""How fast the gateway is, beside other milters: `python -m benchmarks --help`, docs/performance.md."""
