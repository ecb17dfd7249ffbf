"""Makes a base model from the corpus of a domain: `python -m verilora.finetune.make_base --help`."""

from .base.make import main

if __name__ == "__main__":
    main()
