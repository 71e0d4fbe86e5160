"""The OpenAPI document of the API, made from the code: ``python -m local.openapi`` writes it.

What comes in is taken from the pydantic models that check it, states and codes from the enumerations
that the answers are made of, words from docs/api.md. The shapes of answers stand in `answers`,
`receipts` and `problems`, closed: a field more or less, or a state that is not listed, breaks them.
"""
