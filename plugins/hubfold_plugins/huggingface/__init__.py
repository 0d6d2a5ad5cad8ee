"""The layouts that huggingface_hub writes: its cache, and the folders of `local_dir`."""
