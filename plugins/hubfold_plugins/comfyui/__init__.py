"""ComfyUI: its folders of models, and those that its settings name."""
