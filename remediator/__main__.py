"""`python -m remediator`: the same as the `remediator` command."""

from remediator.cli import main

if __name__ == "__main__":
    main()
