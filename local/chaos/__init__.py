"""The chaos campaign: random orders while venues fail and Lambda processes are killed.

``python -m local.chaos``, or ``make chaos``; what it does and shows stands in docs/chaos.md.
"""
