"""``python -m yolotrt``."""

from yolotrt.cli.leave import program

if __name__ == "__main__":
    program()
