"""`python -m distspc`: the command line."""

from distspc.cli import main

if __name__ == "__main__":
    main()
