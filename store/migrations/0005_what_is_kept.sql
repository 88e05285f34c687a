-- How much of an evaluation's losses is kept, and runs whose results outlive their directories.
ALTER TABLE evaluations ADD COLUMN kept VARCHAR DEFAULT 'tokens';
ALTER TABLE runs ADD COLUMN removed DOUBLE;
