"""From evaluations to dimensions: counts, rates, expectations, and statistics over seeds."""
