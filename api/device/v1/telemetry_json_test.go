package v1_test

import (
	"testing"
	"time"

	"github.com/go-kratos/kratos/v2/encoding"
	_ "github.com/go-kratos/kratos/v2/encoding/json"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/device/v1"
)

var noon = timestamppb.New(time.Date(2026, 5, 6, 12, 0, 0, 0, time.UTC))

// corpus maps names to what devices send and to what is read from it, nil for an error.
var corpus = map[string]struct {
	text string
	want *v1.Telemetry
}{
	"RFC 3339": {
		`{"event_id":"e1","temperature":21.5,"humidity":40,"timestamp":"2026-05-06T12:00:00Z"}`,
		&v1.Telemetry{EventId: "e1", Temperature: new(21.5), Humidity: proto.Float64(40), Timestamp: noon},
	},
	"RFC 3339 with a zone":  {`{"timestamp":"2026-05-06T14:00:00+02:00"}`, &v1.Telemetry{Timestamp: noon}},
	"Unix seconds":          {`{"temperature":0,"timestamp":1778068800}`, &v1.Telemetry{Temperature: proto.Float64(0), Timestamp: noon}},
	"Unix milliseconds":     {`{"timestamp":1778068800000}`, &v1.Telemetry{Timestamp: noon}},
	"fraction of a second":  {`{"timestamp":1778068800.25}`, &v1.Telemetry{Timestamp: timestamppb.New(noon.AsTime().Add(250 * time.Millisecond))}},
	"JSON name of event id": {`{"eventId":"e1"}`, &v1.Telemetry{EventId: "e1"}},
	"device":                {`{"device_id":"d1"}`, &v1.Telemetry{DeviceId: "d1"}},
	"JSON name of device":   {`{"deviceId":"d1"}`, &v1.Telemetry{DeviceId: "d1"}},
	"device by number":      {`{"device_id":7}`, &v1.Telemetry{Sensors: sensors(map[string]any{"device_id": 7.0})}},
	"empty":                 {`{}`, &v1.Telemetry{}},
	"nulls":                 {`{"event_id":null,"temperature":null,"timestamp":null,"sensors":null}`, &v1.Telemetry{}},
	"more sensors": {
		`{"pressure":1013,"gps":{"lat":1.5},"sensors":{"door":"open"}}`,
		&v1.Telemetry{Sensors: sensors(map[string]any{"pressure": 1013.0, "gps": map[string]any{"lat": 1.5}, "door": "open"})},
	},
	"sensor twice":         {`{"sensors":{"a":1},"a":2}`, &v1.Telemetry{Sensors: sensors(map[string]any{"a": 2.0})}},
	"two names of one id":  {`{"event_id":"a","eventId":"b"}`, nil}, // reports.md C8
	"two names of device":  {`{"deviceId":"a","device_id":"b"}`, nil},
	"text as temperature":  {`{"temperature":"warm"}`, nil},
	"huge number":          {`{"temperature":1e999}`, nil},
	"far future":           {`{"timestamp":1e300}`, nil},
	"words as time":        {`{"timestamp":"noon"}`, nil},
	"object as time":       {`{"timestamp":{}}`, nil},
	"number as event id":   {`{"event_id":1}`, nil},
	"list as sensors":      {`{"sensors":[1]}`, nil},
	"invalid UTF-8 sensor": {"{\"a\":\"\xff\"}", &v1.Telemetry{Sensors: sensors(map[string]any{"a": "\uFFFD"})}},
	"array":                {`[]`, nil},
	"null":                 {`null`, nil},
	"cut off":              {`{"temperature":2`, nil},
	"nothing":              {``, nil},
}

func TestTelemetryFromDevices(t *testing.T) {
	t.Parallel()
	codec := encoding.GetCodec("json")
	for name, test := range corpus {
		got := &v1.Telemetry{EventId: "old", Humidity: proto.Float64(1)}
		err := codec.Unmarshal([]byte(test.text), got)
		switch {
		case test.want == nil && err == nil:
			t.Errorf("%s: no error for %s", name, test.text)
		case test.want != nil && err != nil:
			t.Errorf("%s: %v", name, err)
		case test.want != nil && !proto.Equal(got, test.want):
			t.Errorf("%s: got %v, want %v", name, got, test.want)
		}
	}
}

// FuzzTelemetryFromDevices checks that everything that is read can be written and read again.
func FuzzTelemetryFromDevices(f *testing.F) {
	for _, test := range corpus {
		f.Add([]byte(test.text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		first := new(v1.Telemetry)
		if first.UnmarshalJSON(data) != nil {
			return
		}
		text, err := protojson.Marshal(first)
		if err != nil {
			t.Fatalf("write %v: %v", first, err)
		}
		second := new(v1.Telemetry)
		if err := second.UnmarshalJSON(text); err != nil {
			t.Fatalf("read %s again: %v", text, err)
		}
		if !proto.Equal(first, second) {
			t.Fatalf("%v became %v", first, second)
		}
	})
}

func sensors(values map[string]any) *structpb.Struct {
	s, err := structpb.NewStruct(values)
	if err != nil {
		panic(err)
	}
	return s
}
