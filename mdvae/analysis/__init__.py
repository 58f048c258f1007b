"""From arrays of a trained model to dimensions and intervals; never imports training."""
