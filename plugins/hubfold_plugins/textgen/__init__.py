"""text-generation-webui: its folders of models."""
