"""Entry point of ``python -m cli``."""

from cli.app import sor

if __name__ == "__main__":
    sor(prog_name="sor")
