"""Orders that are sent: never more at stake than was ordered. Pure."""
