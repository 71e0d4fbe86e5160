"""What the Lambdas do: ports in, values out. Reads and writes happen here, decisions elsewhere."""
