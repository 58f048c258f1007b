"""The dimension of a user's own data: which models are trained, what they show, and the verdict."""
