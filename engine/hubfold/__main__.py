"""``python -m hubfold``."""

from hubfold.cli import main

if __name__ == "__main__":
    main()
