"""Models of models: a second VAE on the latents of a first one, and what the two generate."""
