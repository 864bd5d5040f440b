"""Latent variables: diagonal Gaussians, their generalised products, and mixtures of them."""
