-- +goose Up
CREATE TABLE IF NOT EXISTS mqtt_dedup (
    id   TEXT   COLLATE "C" PRIMARY KEY,
    seen BIGINT NOT NULL -- microseconds since 1970
);

CREATE INDEX IF NOT EXISTS mqtt_dedup_seen ON mqtt_dedup (seen);

-- +goose Down
DROP TABLE mqtt_dedup;
