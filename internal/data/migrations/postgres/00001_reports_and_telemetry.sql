-- +goose Up
CREATE TABLE realtime_warehousing (
    seq         BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id    TEXT NOT NULL UNIQUE,
    event_name  TEXT NOT NULL,
    report_data TEXT NOT NULL,
    create_time TEXT NOT NULL
);

CREATE TABLE acceptance_status (
    seq            BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id       TEXT    NOT NULL UNIQUE,
    data_name      TEXT    NOT NULL,
    report_type    TEXT    NOT NULL,
    report_data    TEXT    NOT NULL,
    error_reason   TEXT    NOT NULL,
    error_handling TEXT    NOT NULL,
    status         INTEGER NOT NULL,
    part_event     TEXT    NOT NULL,
    part_date      TEXT    NOT NULL
);

CREATE TABLE telemetry (
    seq         BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    device_id   TEXT NOT NULL,
    event_id    TEXT NOT NULL,
    temperature DOUBLE PRECISION,
    humidity    DOUBLE PRECISION,
    measured_at TEXT NOT NULL,
    sensors     TEXT NOT NULL,
    UNIQUE (device_id, event_id)
);

CREATE INDEX telemetry_by_device ON telemetry (device_id, seq);

CREATE TABLE alert (
    seq         BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id    TEXT NOT NULL UNIQUE,
    device_id   TEXT NOT NULL,
    kind        TEXT NOT NULL,
    value       DOUBLE PRECISION NOT NULL,
    limit_value DOUBLE PRECISION NOT NULL,
    measured_at TEXT NOT NULL
);

-- +goose Down
DROP TABLE alert;
DROP TABLE telemetry;
DROP TABLE acceptance_status;
DROP TABLE realtime_warehousing;
