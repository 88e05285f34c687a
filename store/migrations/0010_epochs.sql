-- How often the texts behind a point were read: the base text before adaptation, the domain and the base text in it.
ALTER TABLE imported_points ADD COLUMN base_epochs DOUBLE;
ALTER TABLE imported_points ADD COLUMN target_epochs DOUBLE;
ALTER TABLE imported_points ADD COLUMN replay_epochs DOUBLE;

CREATE OR REPLACE VIEW adaptation_points AS
WITH realised AS (
    SELECT run_id, target_tokens + replay_tokens AS tokens, arg_max(replay_realised, (attempt, seq)) AS replay_realised,
        arg_max(target_epochs, (attempt, seq)) AS target_epochs, arg_max(replay_epochs, (attempt, seq)) AS replay_epochs
    FROM mixtures GROUP BY ALL
)
SELECT m.run_id, r.experiment, coalesce(m.domain, r.domain) AS domain, coalesce(m.method, r.method) AS method, r.size, r.seed,
    try_cast(r.labels->>'lr' AS DOUBLE) AS lr, try_cast(r.labels->>'rank' AS BIGINT) AS rank, r.labels->>'variant' AS variant,
    coalesce(r.labels->>'newlines', 'keep') AS newlines,
    coalesce(p.n_params, m.n_params) AS n_params, coalesce(m.ptpp, p.ptpp) AS ptpp, m.atpp, m.adapt_tokens,
    coalesce(m.replay_ratio, r.replay_ratio) AS replay_ratio, x.replay_realised,
    b.replay_epochs AS base_epochs, x.target_epochs, x.replay_epochs,
    e.role, e.eval_set_id, e.evaluation_id, z.evaluation_id AS zero_shot_evaluation_id, m.model_id, m.parent AS base_model_id,
    e.sum_loss / nullif(e.predicted, 0) AS loss, z.sum_loss / nullif(z.predicted, 0) AS zero_shot_loss,
    e.sum_loss / nullif(e.predicted, 0) - z.sum_loss / nullif(z.predicted, 0) AS delta
FROM models m
JOIN evaluations e ON e.model_id = m.model_id
LEFT JOIN models p ON p.model_id = m.parent
LEFT JOIN runs r ON r.run_id = m.run_id
LEFT JOIN realised x ON x.run_id = m.run_id AND x.tokens = m.adapt_tokens
LEFT JOIN realised b ON b.run_id = p.run_id AND b.tokens = p.tokens_seen
LEFT JOIN evaluations z ON z.model_id = m.parent AND z.eval_set_id = e.eval_set_id AND z.scheme = e.scheme
WHERE m.parent IS NOT NULL AND m.atpp > 0 AND m.interpolation IS NULL
UNION ALL BY NAME
-- A trajectory of an imported table stands for a run: its points are not independent.
SELECT i.run_id || '#' || i.trajectory AS run_id, r.experiment, i.domain, i.method, i.size, i.seed,
    NULL AS lr, NULL AS rank, NULL AS variant, 'keep' AS newlines, i.n_params, i.ptpp, i.atpp,
    i.adapt_tokens, i.replay_ratio, NULL AS replay_realised, i.base_epochs, i.target_epochs, i.replay_epochs,
    i.role, i.eval_set AS eval_set_id,
    NULL AS evaluation_id, NULL AS zero_shot_evaluation_id,
    i.run_id || '#' || i.trajectory || '@' || i.adapt_tokens AS model_id, i.run_id || '#' || i.trajectory || '@base' AS base_model_id,
    i.loss, i.zero_shot_loss, i.loss - i.zero_shot_loss AS delta
FROM imported_points i LEFT JOIN runs r ON r.run_id = i.run_id
WHERE i.adapt_tokens > 0;
