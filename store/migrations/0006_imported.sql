SELECT 1; -- what other trackers recorded
