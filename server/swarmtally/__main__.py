"""`python -m swarmtally`: the same as the `swarmtally` command."""

from swarmtally.cli.main import main

if __name__ == "__main__":
    main()
