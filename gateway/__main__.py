"""`python -m gateway` is `milter-gateway`."""

from gateway.cli.main import main

if __name__ == "__main__":
    main()
