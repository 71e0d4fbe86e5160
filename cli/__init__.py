"""The command line `sor`, for a deployed stack or the local one: ``python -m cli``."""
