-- Losses summed by token type and by document, in double precision, and then the losses themselves in steps of 0.001.
CREATE TABLE type_losses (evaluation_id VARCHAR NOT NULL, token_id INTEGER NOT NULL, n BIGINT NOT NULL,
    sum_loss DOUBLE NOT NULL);
CREATE TABLE document_losses (evaluation_id VARCHAR NOT NULL, document INTEGER NOT NULL, n BIGINT NOT NULL,
    sum_loss DOUBLE NOT NULL);

CREATE TEMP TABLE paired AS
SELECT l.evaluation_id, t.token_ids, t.document, l.losses, len(t.token_ids) IS NOT DISTINCT FROM len(l.losses) AS fits
FROM token_losses l JOIN evaluations e USING (evaluation_id)
LEFT JOIN eval_tokens t ON t.eval_set_id = e.eval_set_id AND t.block = l.block;
DELETE FROM paired WHERE evaluation_id IN (SELECT evaluation_id FROM paired WHERE NOT fits);
INSERT INTO type_losses
SELECT evaluation_id, token_id, count(*), sum(loss)
FROM (SELECT evaluation_id, unnest(token_ids) AS token_id, unnest(losses)::DOUBLE AS loss FROM paired)
WHERE isfinite(loss) GROUP BY ALL ORDER BY ALL;
INSERT INTO document_losses
SELECT evaluation_id, document, count(*), sum(loss)
FROM (SELECT evaluation_id, unnest(document) AS document, unnest(losses)::DOUBLE AS loss FROM paired)
WHERE isfinite(loss) GROUP BY ALL ORDER BY ALL;
DROP TABLE paired;

ALTER TABLE token_losses ALTER losses TYPE DECIMAL(9, 3)[] USING try_cast(losses AS DECIMAL(9, 3)[]);
ALTER TABLE token_losses ADD COLUMN unsummed FLOAT[];
