"""Files of networks: weights fetched or checked, what a file may hold, what it says of its network."""
