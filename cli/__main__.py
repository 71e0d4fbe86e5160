"""Entry point of ``python -m cli``."""

import sys

try:
    from cli.app import sor
except KeyboardInterrupt:  # while the libraries are loaded
    sys.exit(130)

if __name__ == "__main__":
    sor(prog_name="sor")
