// Package v1 holds the messages of the devices service: its API and its events.
package v1

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// millisFrom is the number from which a Unix timestamp is in milliseconds: as seconds it would
// be in the year 5138, as milliseconds it is in 1973.
const millisFrom = 100_000_000_000

// UnmarshalJSON reads what devices send: the fields of Telemetry by their proto or JSON names,
// any other member into sensors, and the timestamp as RFC 3339 or as Unix time in seconds or
// milliseconds. It replaces the content of t. As in protojson, it is an error if both names of
// a field occur. The json codec of Kratos prefers this method over protojson.
func (t *Telemetry) UnmarshalJSON(data []byte) error {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(data, &members); err != nil {
		return fmt.Errorf("telemetry: %w", err)
	}
	if members == nil {
		return errors.New("telemetry: not an object")
	}
	for _, twice := range [][2]string{{"event_id", "eventId"}, {"device_id", "deviceId"}} {
		if members[twice[0]] != nil && members[twice[1]] != nil {
			return fmt.Errorf("telemetry: members %q and %q are the same field, want one of them", twice[0], twice[1])
		}
	}
	t.Reset()
	var sensors map[string]any
	if raw, ok := members["sensors"]; ok {
		if err := json.Unmarshal(raw, &sensors); err != nil {
			return fmt.Errorf("telemetry: member \"sensors\": %w", err)
		}
		delete(members, "sensors")
	}
	if sensors == nil {
		sensors = make(map[string]any)
	}
	// If a name occurs both outside and inside sensors, the value outside is used.
	for _, name := range slices.Sorted(maps.Keys(members)) {
		if err := t.setMember(name, members[name], sensors); err != nil {
			return fmt.Errorf("telemetry: member %q: %w", name, err)
		}
	}
	if len(sensors) == 0 {
		return nil
	}
	var err error
	if t.Sensors, err = structpb.NewStruct(sensors); err != nil {
		return fmt.Errorf("telemetry: sensors: %w", err)
	}
	return nil
}

func (t *Telemetry) setMember(name string, raw json.RawMessage, sensors map[string]any) error {
	switch name {
	case "event_id", "eventId":
		return json.Unmarshal(raw, &t.EventId)
	case "temperature":
		return json.Unmarshal(raw, &t.Temperature)
	case "humidity":
		return json.Unmarshal(raw, &t.Humidity)
	case "timestamp":
		at, err := parseTimestamp(raw)
		t.Timestamp = at
		return err
	case "device_id", "deviceId":
		// The topic names the device, so a device_id that is not text is a sensor value.
		if raw[0] == '"' {
			return json.Unmarshal(raw, &t.DeviceId)
		}
	}
	var value any
	if err := json.Unmarshal(raw, &value); err != nil {
		return err
	}
	sensors[name] = value
	return nil
}

func parseTimestamp(raw json.RawMessage) (*timestamppb.Timestamp, error) {
	if bytes.Equal(raw, []byte("null")) {
		return nil, nil
	}
	if raw[0] == '"' {
		var at time.Time
		if err := json.Unmarshal(raw, &at); err != nil {
			return nil, err
		}
		return checked(at)
	}
	var unix float64
	if err := json.Unmarshal(raw, &unix); err != nil {
		return nil, err
	}
	if math.Abs(unix) >= millisFrom {
		unix /= 1000
	}
	if math.Abs(unix) >= millisFrom*10 {
		return nil, errors.New("timestamp out of range")
	}
	seconds, fraction := math.Modf(unix)
	// Rounded to microseconds: a float64 is not more precise for current times.
	return checked(time.Unix(int64(seconds), int64(math.Round(fraction*1e6))*1000))
}

func checked(at time.Time) (*timestamppb.Timestamp, error) {
	ts := timestamppb.New(at)
	return ts, ts.CheckValid()
}
