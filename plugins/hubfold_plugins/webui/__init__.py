"""Programs for images with a web interface: AUTOMATIC1111 and its kin, Stability Matrix, InvokeAI."""
