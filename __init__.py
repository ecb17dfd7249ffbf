"""VeriLoRA: fine-tune a language model with a model checker in the loop, and serve the adapters it makes."""
