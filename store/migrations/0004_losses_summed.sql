SELECT 1; -- losses summed by type and by document
