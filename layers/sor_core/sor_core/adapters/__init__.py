"""Implementations of the ports: DynamoDB, HTTP, venues."""
