"""The local stack: simulated venues, a local AWS with template.yaml deployed to it, and the front door."""
