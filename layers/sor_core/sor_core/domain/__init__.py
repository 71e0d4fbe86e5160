"""Pure vocabulary of the router: no AWS, no HTTP, no pydantic."""
