"""The decision: pure, exact, recomputable. No AWS, no HTTP, no pydantic."""
