package biz

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math"
	"time"

	"github.com/google/uuid"
)

// AlertTemperature is the kind of alert for a temperature above its limit.
const AlertTemperature = "temperature"

// Telemetry is one reading of a device.
type Telemetry struct {
	DeviceID string
	// EventID is unique within the device; empty until Record derives it.
	EventID     string
	Temperature *float64
	Humidity    *float64
	MeasuredAt  time.Time
	// Sensors are further readings, as decoded by encoding/json. [ReadableSensors]
	// reports true for them.
	Sensors map[string]any
}

// Alert reports that a reading exceeded a limit.
type Alert struct {
	EventID    string
	DeviceID   string
	Kind       string
	Value      float64
	Limit      float64
	MeasuredAt time.Time
}

// DevicePublisher publishes alerts and commands. Its methods return nil only once
// the message is accepted. They are safe for concurrent use.
type DevicePublisher interface {
	PublishAlert(context.Context, Alert) error
	PublishCommand(context.Context, Command) error
}

// DeviceRepo stores telemetry and alerts. Saving an id that is already stored
// changes nothing and is not an error. Lists are newest first and return the
// cursor of the next page, 0 on the last one. Methods are safe for concurrent use.
type DeviceRepo interface {
	SaveTelemetry(context.Context, Telemetry) error
	SaveAlert(context.Context, Alert) error
	// SaveHeartbeat replaces the last heartbeat of a device. LastHeartbeat returns
	// the zero time if there is none.
	SaveHeartbeat(ctx context.Context, deviceID string, at time.Time) error
	LastHeartbeat(ctx context.Context, deviceID string) (time.Time, error)
	ListTelemetry(ctx context.Context, deviceID string, page Page) ([]Telemetry, int64, error)
	ListAlerts(context.Context, Page) ([]Alert, int64, error)
}

// Limits are the limits that readings and heartbeats are checked against.
type Limits struct {
	// Temperature in degrees Celsius; a reading above it raises an alert. Nil means
	// no limit.
	Temperature *float64
	// Silence is how long a device counts as online after its last heartbeat.
	// Default 90 s.
	Silence time.Duration
}

// DeviceUsecase saves and lists telemetry, raises alerts, reports which devices
// are online, and sends commands. Safe for concurrent use.
type DeviceUsecase struct {
	tx        Transaction
	repo      DeviceRepo
	publisher DevicePublisher
	limits    Limits
	newID     func() (uuid.UUID, error)
	now       func() time.Time
}

// NewDeviceUsecase returns a use case for the given repository, its transactions
// and a publisher.
func NewDeviceUsecase(tx Transaction, repo DeviceRepo, publisher DevicePublisher, limits Limits) *DeviceUsecase {
	if limits.Silence == 0 {
		limits.Silence = defaultSilence
	}
	return &DeviceUsecase{tx: tx, repo: repo, publisher: publisher, limits: limits, newID: uuid.NewV7, now: time.Now}
}

// Record stores a reading once, however often it is delivered. In the same
// transaction it stores and publishes the alert that the reading raises. A
// redelivery publishes the alert again under the same event id, because without an
// outbox in the same database the first delivery may have stored the reading
// without publishing its alert. An invalid reading is a Kratos 400.
func (u *DeviceUsecase) Record(ctx context.Context, t Telemetry) error {
	if err := t.validate(); err != nil {
		return err
	}
	if t.EventID == "" {
		id, err := t.deriveID()
		if err != nil {
			return err
		}
		t.EventID = id
	}
	alert, raised := u.temperatureAlert(t)
	if !raised {
		return u.repo.SaveTelemetry(ctx, t)
	}
	return u.tx.InTx(ctx, func(ctx context.Context) error {
		if err := u.repo.SaveTelemetry(ctx, t); err != nil {
			return err
		}
		if err := u.repo.SaveAlert(ctx, alert); err != nil {
			return err
		}
		return u.publisher.PublishAlert(ctx, alert)
	})
}

// ListTelemetry returns a page of a device's readings and the cursor of the next
// page.
func (u *DeviceUsecase) ListTelemetry(ctx context.Context, deviceID string, page Page) ([]Telemetry, int64, error) {
	return u.repo.ListTelemetry(ctx, deviceID, page)
}

// ListAlerts returns a page of alerts and the cursor of the next page.
func (u *DeviceUsecase) ListAlerts(ctx context.Context, page Page) ([]Alert, int64, error) {
	return u.repo.ListAlerts(ctx, page)
}

func (u *DeviceUsecase) temperatureAlert(t Telemetry) (Alert, bool) {
	limit := u.limits.Temperature
	if limit == nil || t.Temperature == nil || *t.Temperature <= *limit {
		return Alert{}, false
	}
	return Alert{
		EventID:    stableID("alert", t.DeviceID, t.EventID, AlertTemperature),
		DeviceID:   t.DeviceID,
		Kind:       AlertTemperature,
		Value:      *t.Temperature,
		Limit:      *limit,
		MeasuredAt: t.MeasuredAt,
	}, true
}

func (t Telemetry) validate() error {
	v := violations{}
	v.requireName("device_id", t.DeviceID)
	v.limit("event_id", t.EventID, maxName)
	v.texts(map[string]string{"device_id": t.DeviceID, "event_id": t.EventID})
	v.moment("timestamp", t.MeasuredAt)
	if t.MeasuredAt.IsZero() {
		v["timestamp"] = "required"
	}
	if t.Temperature == nil && t.Humidity == nil && len(t.Sensors) == 0 {
		v["temperature"] = "one reading at least is required"
	}
	if !ReadableSensors(t.Sensors) {
		v["sensors"] = fmt.Sprintf("nested more than %d deep", maxNested)
	}
	v.finite("temperature", t.Temperature)
	v.finite("humidity", t.Humidity)
	return v.err()
}

// maxNested is how deep readings may be nested. Each level takes up to three levels
// of protobuf messages, and protobuf libraries of other languages reject more than
// 100: one deeper reading would make the whole list unreadable for them.
const maxNested = 30

// ReadableSensors reports whether protobuf libraries of all languages can read sensors.
func ReadableSensors(sensors map[string]any) bool { return nestedWithin(sensors, maxNested+1) }

func nestedWithin(value any, levels int) bool {
	switch value := value.(type) {
	case map[string]any:
		for _, inner := range value {
			if !nestedWithin(inner, levels-1) {
				return false
			}
		}
	case []any:
		for _, inner := range value {
			if !nestedWithin(inner, levels-1) {
				return false
			}
		}
	default:
		return true
	}
	return levels > 0
}

func (v violations) finite(field string, value *float64) {
	if value != nil && (math.IsNaN(*value) || math.IsInf(*value, 0)) {
		v[field] = "not a number"
	}
}

// deriveID returns the id of a reading that has no event id. It is the same for
// every delivery of the reading.
func (t Telemetry) deriveID() (string, error) {
	// encoding/json sorts map keys, so equal readings have equal bytes.
	values, err := json.Marshal([]any{t.Temperature, t.Humidity, t.Sensors})
	if err != nil {
		return "", fmt.Errorf("derive event id: %w", err)
	}
	return stableID("telemetry", t.DeviceID, t.MeasuredAt.UTC().Format(time.RFC3339Nano), string(values)), nil
}

// stableID returns a UUID (version 8, from SHA-256) that depends only on parts.
func stableID(parts ...string) string {
	var name []byte
	for _, part := range parts {
		// The length distinguishes ("a","bc") from ("ab","c").
		name = fmt.Appendf(name, "%d:%s", len(part), part)
	}
	return uuid.NewHash(sha256.New(), uuid.Nil, name, 8).String()
}
