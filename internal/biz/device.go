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

// AlertTemperature is the kind of alert about a temperature above its limit.
const AlertTemperature = "temperature"

// Telemetry is one reading of a device.
type Telemetry struct {
	DeviceID string
	// EventID is unique within the device; empty until derived.
	EventID     string
	Temperature *float64
	Humidity    *float64
	MeasuredAt  time.Time
	// Sensors are further readings, values as encoding/json decodes them, of which
	// [ReadableSensors] is true.
	Sensors map[string]any
}

// Alert says that a reading passed a limit.
type Alert struct {
	EventID    string
	DeviceID   string
	Kind       string
	Value      float64
	Limit      float64
	MeasuredAt time.Time
}

// DevicePublisher sends alerts and commands out. Its methods return nil only once
// the message is accepted, and may be called at the same time.
type DevicePublisher interface {
	PublishAlert(context.Context, Alert) error
	PublishCommand(context.Context, Command) error
}

// DeviceRepo keeps telemetry and alerts. Saving an identity that is already
// there changes nothing and is no error. Lists are newest first and end with
// the cursor of the next page, 0 on the last. Methods may be called at the same
// time.
type DeviceRepo interface {
	SaveTelemetry(context.Context, Telemetry) error
	SaveAlert(context.Context, Alert) error
	// SaveHeartbeat keeps the last one of a device. LastHeartbeat is the zero time
	// without one.
	SaveHeartbeat(ctx context.Context, deviceID string, at time.Time) error
	LastHeartbeat(ctx context.Context, deviceID string) (time.Time, error)
	ListTelemetry(ctx context.Context, deviceID string, page Page) ([]Telemetry, int64, error)
	ListAlerts(context.Context, Page) ([]Alert, int64, error)
}

// Limits are what readings are watched for.
type Limits struct {
	// Temperature in degrees Celsius; a reading above it raises an alert. Nil:
	// none.
	Temperature *float64
	// Silence is how long after its last heartbeat a device counts as online.
	// Default 90 s.
	Silence time.Duration
}

// DeviceUsecase saves and lists telemetry, raises alerts, knows which devices are
// there and sends them commands. Safe for concurrent use.
type DeviceUsecase struct {
	tx        Transaction
	repo      DeviceRepo
	publisher DevicePublisher
	limits    Limits
	newID     func() (uuid.UUID, error)
	now       func() time.Time
}

// NewDeviceUsecase returns the use case over a repository, its transactions and a
// publisher.
func NewDeviceUsecase(tx Transaction, repo DeviceRepo, publisher DevicePublisher, limits Limits) *DeviceUsecase {
	if limits.Silence == 0 {
		limits.Silence = defaultSilence
	}
	return &DeviceUsecase{tx: tx, repo: repo, publisher: publisher, limits: limits, newID: uuid.NewV7, now: time.Now}
}

// Record stores a reading once, however often it is delivered, and stores and
// publishes the alert it raises, in one transaction. A redelivery publishes the
// alert again, under the same event id: without an outbox in the same database
// the first delivery may have ended before that. An unusable reading is a Kratos
// 400.
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

// ListTelemetry returns a page of a device's readings and the cursor of the
// next.
func (u *DeviceUsecase) ListTelemetry(ctx context.Context, deviceID string, page Page) ([]Telemetry, int64, error) {
	return u.repo.ListTelemetry(ctx, deviceID, page)
}

// ListAlerts returns a page of alerts and the cursor of the next.
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

// maxNested is how deep readings may be nested. In protobuf each level is up to three,
// and libraries of other languages read no message of more than 100: one reading would
// keep their callers from the whole list.
const maxNested = 30

// ReadableSensors reports whether everybody can read them.
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

// deriveID returns the identity of a reading without event id, which is the same
// for each of its deliveries.
func (t Telemetry) deriveID() (string, error) {
	// encoding/json sorts map keys, so equal readings have equal bytes.
	values, err := json.Marshal([]any{t.Temperature, t.Humidity, t.Sensors})
	if err != nil {
		return "", fmt.Errorf("derive event id: %w", err)
	}
	return stableID("telemetry", t.DeviceID, t.MeasuredAt.UTC().Format(time.RFC3339Nano), string(values)), nil
}

// stableID is the same UUID (version 8, from SHA-256) for the same parts.
func stableID(parts ...string) string {
	var name []byte
	for _, part := range parts {
		// The length keeps ("a","bc") apart from ("ab","c").
		name = fmt.Appendf(name, "%d:%s", len(part), part)
	}
	return uuid.NewHash(sha256.New(), uuid.Nil, name, 8).String()
}
