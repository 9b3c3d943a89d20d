"""How commands are called: shared options, help, completion."""
