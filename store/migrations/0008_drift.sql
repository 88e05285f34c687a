-- What moved between two states of a model, on a text and by type of target token.
CREATE TABLE drifts (drift_id VARCHAR NOT NULL, run_id VARCHAR NOT NULL, attempt INTEGER, seq BIGINT, t DOUBLE, model_before VARCHAR,
    model_after VARCHAR, evaluation_before VARCHAR, evaluation_after VARCHAR, eval_set_id VARCHAR, role VARCHAR, scheme JSON,
    max_tokens BIGINT, positions BIGINT, predicted BIGINT, tied BOOLEAN, loss_before DOUBLE, loss_after DOUBLE, loss_output DOUBLE,
    loss_hidden DOUBLE, hidden_drift DOUBLE, hidden_cosine DOUBLE, input_drift DOUBLE, output_drift DOUBLE, seconds DOUBLE);
CREATE TABLE type_drifts (drift_id VARCHAR NOT NULL, token_id INTEGER NOT NULL, n BIGINT NOT NULL, sum_before DOUBLE, sum_after DOUBLE,
    sum_output DOUBLE, sum_hidden DOUBLE, hidden_drift DOUBLE, hidden_cosine DOUBLE, input_drift DOUBLE, input_cosine DOUBLE,
    output_drift DOUBLE, output_cosine DOUBLE);
