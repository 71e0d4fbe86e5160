"""Load: many clients at once on a stack of their own, and what that did to answers, memory and orders.

``make load`` runs it; docs/load.md says what it measures.
"""
