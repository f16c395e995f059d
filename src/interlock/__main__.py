"""`python -m interlock`: the command line."""

from interlock.cli.app import main

if __name__ == "__main__":
    main()
