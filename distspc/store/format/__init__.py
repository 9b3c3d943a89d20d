"""How a store lies on disk: its variables, chunks, shards and paths."""
