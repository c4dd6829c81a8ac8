"""``python -m connect_worker``: the command line."""

from connect_worker.cli import main

if __name__ == "__main__":
    main(prog_name="python -m connect_worker")
