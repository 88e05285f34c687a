-- Format audits: a training text beside an evaluation text, counted when both were prepared.
CREATE TABLE audits (audit_id VARCHAR NOT NULL, run_id VARCHAR, attempt INTEGER, seq BIGINT, t DOUBLE, pair_key VARCHAR,
    domain VARCHAR, corpus_keys VARCHAR[], newlines VARCHAR, separator VARCHAR, eval_set VARCHAR, eval_set_id VARCHAR,
    scored_join VARCHAR, own BOOLEAN, tokenizer_id VARCHAR, tokenizer VARCHAR, level VARCHAR,
    train JSON, evaluation JSON, classes JSON, types JSON, overlap JSON, findings JSON);

CREATE VIEW audit_classes AS
WITH rows AS (
    SELECT audit_id, domain, newlines, eval_set, own, unnest(from_json(classes, '["json"]')) AS found,
        (train->>'n_tokens')::BIGINT AS n_train, (evaluation->>'n_tokens')::BIGINT AS n_evaluation
    FROM audits
)
SELECT audit_id, domain, newlines, eval_set, own, found->>'token_class' AS token_class,
    (found->>'train')::BIGINT AS train, (found->>'evaluation')::BIGINT AS evaluation,
    (found->>'train')::BIGINT / nullif(n_train, 0) AS train_share,
    (found->>'evaluation')::BIGINT / nullif(n_evaluation, 0) AS evaluation_share
FROM rows;
