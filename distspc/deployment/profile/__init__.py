"""What a profile says, read and checked."""
