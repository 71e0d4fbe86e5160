"""The shared core of SOR: decide where an order goes, and prove it."""

__version__ = "0.1.0"
