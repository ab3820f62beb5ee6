-- +goose Up
CREATE TABLE device_heartbeat (
    device_id TEXT PRIMARY KEY,
    seen_at   TEXT NOT NULL
);

-- +goose Down
DROP TABLE device_heartbeat;
