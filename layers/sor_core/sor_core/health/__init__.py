"""How well a venue is: measurements folded into the required metrics and score. Pure."""
