-- +goose Up
CREATE TABLE IF NOT EXISTS mqtt_dedup (
    id   TEXT    PRIMARY KEY,
    seen INTEGER NOT NULL -- microseconds since 1970
) STRICT, WITHOUT ROWID;

CREATE INDEX IF NOT EXISTS mqtt_dedup_seen ON mqtt_dedup (seen);

-- +goose Down
DROP TABLE mqtt_dedup;
