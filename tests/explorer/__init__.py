"""Every interleaving of an order's processes, venues and faults, within bounds (docs/exploration.md)."""
