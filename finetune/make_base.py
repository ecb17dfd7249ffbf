"""What people type to make a base model: `python -m verilora.finetune.make_base --help`; the work is in `base/`."""

from .base.make import main

if __name__ == "__main__":
    main()
