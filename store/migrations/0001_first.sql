-- Tables as users name them in SQL. Large tables carry no indexes: they are appended to in bulk and scanned by column.

CREATE TABLE ingested_journals (file VARCHAR NOT NULL, run_id VARCHAR, byte_offset BIGINT NOT NULL, seq BIGINT NOT NULL);
CREATE TABLE ingested_shards (shard VARCHAR NOT NULL, run_id VARCHAR, kind VARCHAR, row_count BIGINT NOT NULL,
    byte_count BIGINT NOT NULL, status VARCHAR NOT NULL, t DOUBLE NOT NULL);

CREATE TABLE runs (
    run_id VARCHAR NOT NULL, name VARCHAR, experiment VARCHAR, kind VARCHAR,
    domain VARCHAR, size VARCHAR, method VARCHAR, replay_ratio DOUBLE, ptpp DOUBLE, seed BIGINT,
    labels JSON, needs VARCHAR[], cost_flops DOUBLE, spec JSON,
    state VARCHAR, attempt INTEGER, reason VARCHAR, hint VARCHAR, done DOUBLE, total DOUBLE, unit VARCHAR, phase VARCHAR,
    eta_s DOUBLE, queued DOUBLE, started DOUBLE, ended DOUBLE, heartbeat DOUBLE,
    host VARCHAR, pid BIGINT, device VARCHAR, worker VARCHAR, versions JSON, git VARCHAR,
    train_loss DOUBLE, tokens_per_s DOUBLE, step BIGINT, tokens BIGINT,
    fold JSON, closed BOOLEAN NOT NULL DEFAULT false);

CREATE TABLE metrics (run_id VARCHAR NOT NULL, attempt INTEGER NOT NULL, seq BIGINT NOT NULL, t DOUBLE, step BIGINT,
    tokens BIGINT, branch VARCHAR, name VARCHAR, value DOUBLE);
CREATE TABLE warnings (run_id VARCHAR, attempt INTEGER, file VARCHAR, seq BIGINT, t DOUBLE, message VARCHAR);
CREATE TABLE checkpoints (run_id VARCHAR NOT NULL, attempt INTEGER, seq BIGINT, t DOUBLE, state VARCHAR, tokens BIGINT);
CREATE TABLE mixtures (run_id VARCHAR NOT NULL, attempt INTEGER NOT NULL, seq BIGINT NOT NULL, t DOUBLE,
    replay_requested DOUBLE, replay_realised DOUBLE, sequences BIGINT, target_tokens BIGINT, replay_tokens BIGINT,
    target_epochs DOUBLE, replay_epochs DOUBLE);

CREATE TABLE corpora (corpus_key VARCHAR NOT NULL, name VARCHAR, source VARCHAR, fingerprint VARCHAR, n_documents BIGINT,
    n_groups BIGINT, bytes JSON, tokens JSON, duplicates BIGINT);
CREATE TABLE tokenizers (tokenizer_id VARCHAR NOT NULL, vocab_size BIGINT, source VARCHAR);
CREATE TABLE vocabulary (tokenizer_id VARCHAR NOT NULL, token_id INTEGER NOT NULL, text VARCHAR, token_class VARCHAR);
CREATE TABLE eval_sets (eval_set_id VARCHAR NOT NULL, name VARCHAR, role VARCHAR, tokenizer_id VARCHAR, split VARCHAR,
    n_tokens BIGINT, n_bytes BIGINT, n_documents BIGINT, fingerprint VARCHAR);
CREATE TABLE eval_tokens (eval_set_id VARCHAR NOT NULL, block INTEGER NOT NULL, token_ids INTEGER[], document INTEGER[],
    byte_start BIGINT[], byte_end BIGINT[]);
CREATE TABLE documents (eval_set_id VARCHAR NOT NULL, document INTEGER NOT NULL, corpus VARCHAR, doc_id VARCHAR,
    n_bytes BIGINT);

CREATE TABLE models (model_id VARCHAR NOT NULL, run_id VARCHAR, source VARCHAR, revision VARCHAR, path VARCHAR,
    n_params BIGINT, n_params_non_embedding BIGINT, tokens_seen BIGINT, ptpp DOUBLE, tokenizer_id VARCHAR,
    parent VARCHAR, atpp DOUBLE, adapt_tokens BIGINT, replay_ratio DOUBLE, domain VARCHAR, method VARCHAR,
    n_params_trained BIGINT, annealed BOOLEAN);
CREATE TABLE evaluations (evaluation_id VARCHAR NOT NULL, model_id VARCHAR NOT NULL, eval_set_id VARCHAR NOT NULL,
    role VARCHAR, scheme JSON, predicted BIGINT, sum_loss DOUBLE, n_bytes BIGINT, seconds DOUBLE,
    run_id VARCHAR, attempt INTEGER, seq BIGINT, t DOUBLE);
CREATE TABLE token_losses (evaluation_id VARCHAR NOT NULL, block INTEGER NOT NULL, losses FLOAT[], run_id VARCHAR,
    attempt INTEGER);

CREATE TABLE similarities (run_id VARCHAR NOT NULL, attempt INTEGER, seq BIGINT, t DOUBLE, domain VARCHAR,
    reference VARCHAR, measure VARCHAR, embedder VARCHAR, encoder VARCHAR, value DOUBLE, low DOUBLE, high DOUBLE,
    n_samples BIGINT, seed BIGINT, higher_is_closer BOOLEAN);

CREATE TABLE fits (fit_id VARCHAR NOT NULL, run_id VARCHAR, attempt INTEGER, seq BIGINT, t DOUBLE, form VARCHAR,
    role VARCHAR, domain VARCHAR, params JSON, objective DOUBLE, n_points BIGINT, n_excluded BIGINT,
    starts_agreeing DOUBLE, at_bound VARCHAR[], condition DOUBLE, fit_ptpp DOUBLE[], score_ptpp DOUBLE[], delta DOUBLE,
    P0 DOUBLE, scores JSON, identifiability VARCHAR[], n_params_distinct BIGINT, code_version VARCHAR);
CREATE TABLE fit_points (fit_id VARCHAR NOT NULL, point INTEGER, split VARCHAR, run_id VARCHAR, n_params BIGINT,
    ptpp DOUBLE, adapt_tokens BIGINT, atpp DOUBLE, replay_ratio DOUBLE, share DOUBLE, loss DOUBLE,
    zero_shot_loss DOUBLE, predicted DOUBLE, reason VARCHAR, weight DOUBLE);
CREATE TABLE fit_draws (fit_id VARCHAR NOT NULL, draw INTEGER, params DOUBLE[]);

CREATE TABLE notes (seq BIGINT, t DOUBLE, event VARCHAR, run_id VARCHAR, text VARCHAR);

-- One row per adapted state and evaluated role. The zero-shot loss is the parent's on the same set and scheme.
CREATE VIEW adaptation_points AS
WITH realised AS (
    SELECT run_id, arg_max(replay_realised, (attempt, seq)) AS replay_realised FROM mixtures GROUP BY run_id
)
SELECT m.run_id, r.experiment, coalesce(m.domain, r.domain) AS domain, coalesce(m.method, r.method) AS method, r.size, r.seed,
    coalesce(p.n_params, m.n_params) AS n_params, coalesce(m.ptpp, p.ptpp) AS ptpp, m.atpp, m.adapt_tokens,
    coalesce(m.replay_ratio, r.replay_ratio) AS replay_ratio, x.replay_realised,
    e.role, e.eval_set_id, e.evaluation_id, z.evaluation_id AS zero_shot_evaluation_id, m.model_id, m.parent AS base_model_id,
    e.sum_loss / nullif(e.predicted, 0) AS loss, z.sum_loss / nullif(z.predicted, 0) AS zero_shot_loss,
    e.sum_loss / nullif(e.predicted, 0) - z.sum_loss / nullif(z.predicted, 0) AS delta
FROM models m
JOIN evaluations e ON e.model_id = m.model_id
LEFT JOIN models p ON p.model_id = m.parent
LEFT JOIN runs r ON r.run_id = m.run_id
LEFT JOIN realised x ON x.run_id = m.run_id
LEFT JOIN evaluations z ON z.model_id = m.parent AND z.eval_set_id = e.eval_set_id AND z.scheme = e.scheme
WHERE m.parent IS NOT NULL AND m.atpp > 0;
