"""Named locations for models, with roles and limits, and the models that are registered at them."""
