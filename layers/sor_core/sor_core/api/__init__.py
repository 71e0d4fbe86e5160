"""The edge: pydantic schemas, RFC 9457 problems, JSON."""
