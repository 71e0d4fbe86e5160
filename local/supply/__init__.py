"""What we build from: the locks, what is known against them, under which licences they come, the bill.

``make audit``, ``make licences`` and ``make sbom``; see docs/supply-chain.md. ``policy.toml`` holds what a
person decided: the licences that may ship, and the findings that are lived with for a while.
"""
