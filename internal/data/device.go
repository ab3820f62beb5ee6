package data

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/sqltx"
	"github.com/kratos-mqtt/kratos-mqtt/internal/biz"
)

const (
	insertTelemetry = `INSERT INTO telemetry (device_id, event_id, temperature, humidity, measured_at, sensors)
		VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (device_id, event_id) DO NOTHING`

	insertAlert = `INSERT INTO alert (event_id, device_id, kind, value, limit_value, measured_at)
		VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (event_id) DO NOTHING`

	upsertHeartbeat = `INSERT INTO device_heartbeat (device_id, seen_at) VALUES ($1, $2)
		ON CONFLICT (device_id) DO UPDATE SET seen_at = excluded.seen_at`

	selectHeartbeat = `SELECT seen_at FROM device_heartbeat WHERE device_id = $1`

	selectTelemetry = `SELECT seq, device_id, event_id, temperature, humidity, measured_at, sensors
		FROM telemetry WHERE seq < $1 AND device_id = $3 ORDER BY seq DESC LIMIT $2`

	selectAlerts = `SELECT seq, event_id, device_id, kind, value, limit_value, measured_at
		FROM alert WHERE seq < $1 ORDER BY seq DESC LIMIT $2`
)

type deviceRepo struct{ data *Data }

// NewDeviceRepo returns a repository that stores telemetry and alerts in the database.
func NewDeviceRepo(data *Data) biz.DeviceRepo { return &deviceRepo{data: data} }

// SaveTelemetry implements biz.DeviceRepo.
func (r *deviceRepo) SaveTelemetry(ctx context.Context, t biz.Telemetry) error {
	sensors, err := json.Marshal(t.Sensors)
	if err != nil {
		return fmt.Errorf("encode sensors: %w", err)
	}
	return r.data.exec(ctx, insertTelemetry, t.DeviceID, t.EventID, t.Temperature, t.Humidity,
		formatTime(t.MeasuredAt), string(sensors))
}

// SaveAlert implements biz.DeviceRepo.
func (r *deviceRepo) SaveAlert(ctx context.Context, a biz.Alert) error {
	return r.data.exec(ctx, insertAlert, a.EventID, a.DeviceID, a.Kind, a.Value, a.Limit, formatTime(a.MeasuredAt))
}

// SaveHeartbeat implements biz.DeviceRepo.
func (r *deviceRepo) SaveHeartbeat(ctx context.Context, deviceID string, at time.Time) error {
	return r.data.exec(ctx, upsertHeartbeat, deviceID, formatTime(at))
}

// LastHeartbeat implements biz.DeviceRepo. An unreadable heartbeat counts as missing
// until the next one arrives.
func (r *deviceRepo) LastHeartbeat(ctx context.Context, deviceID string) (time.Time, error) {
	if r.data.db == nil {
		return time.Time{}, errNoDatabase()
	}
	var seen string
	err := sqltx.Or(ctx, r.data.db).QueryRowContext(ctx, selectHeartbeat, deviceID).Scan(&seen)
	if errors.Is(err, sql.ErrNoRows) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, databaseError(err)
	}
	at, err := parseTime(seen)
	if err != nil {
		r.data.unreadable.note(0, fmt.Errorf("heartbeat of device %q: %w", deviceID, err))
		return time.Time{}, nil
	}
	return at, nil
}

// ListTelemetry implements biz.DeviceRepo.
func (r *deviceRepo) ListTelemetry(ctx context.Context, deviceID string, page biz.Page) ([]biz.Telemetry, int64, error) {
	return list(ctx, r.data, page, scanTelemetry, selectTelemetry, deviceID)
}

// ListAlerts implements biz.DeviceRepo.
func (r *deviceRepo) ListAlerts(ctx context.Context, page biz.Page) ([]biz.Alert, int64, error) {
	return list(ctx, r.data, page, scanAlert, selectAlerts)
}

// sensorsGrow is the assumed ratio of the memory of decoded values to the size of
// their JSON, when the size of a page is computed. For small values it is about ten
// times that.
const sensorsGrow = 8

func scanTelemetry(rows *sql.Rows) (r row, t biz.Telemetry, err error) {
	var measured string
	var sensors []byte
	err = rows.Scan(&r.seq, &t.DeviceID, &t.EventID, &t.Temperature, &t.Humidity, &measured, &sensors)
	r.holds(t.DeviceID, t.EventID)
	r.bytes += sensorsGrow * len(sensors)
	if err != nil {
		return r, t, err
	}
	if err = json.Unmarshal(sensors, &t.Sensors); err != nil {
		return r, t, err
	}
	if !biz.ReadableSensors(t.Sensors) {
		return r, t, errors.New("sensors are nested too deep for some protobuf libraries")
	}
	if t.MeasuredAt, err = parseTime(measured); err != nil {
		return r, t, err
	}
	return r, t, readable(t.DeviceID, t.EventID)
}

func scanAlert(rows *sql.Rows) (r row, a biz.Alert, err error) {
	var measured string
	err = rows.Scan(&r.seq, &a.EventID, &a.DeviceID, &a.Kind, &a.Value, &a.Limit, &measured)
	r.holds(a.EventID, a.DeviceID, a.Kind)
	if err != nil {
		return r, a, err
	}
	if a.MeasuredAt, err = parseTime(measured); err != nil {
		return r, a, err
	}
	return r, a, readable(a.EventID, a.DeviceID, a.Kind)
}
