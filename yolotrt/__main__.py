"""``python -m yolotrt``."""

from yolotrt.cli.app import main

if __name__ == "__main__":
    main()
