"""``python -m proxy`` is ``sekisho``."""

from proxy.cli import main

if __name__ == "__main__":
    main()
