SELECT 1; -- what is kept of an evaluation
