package envelope

import (
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
)

func TestSentAt(t *testing.T) {
	t.Parallel()
	at := time.UnixMilli(1_700_000_000_123).UTC()
	for name, tt := range map[string]struct {
		user   []session.UserProperty
		retain bool
		want   time.Time
	}{
		"none":                {},
		"header":              {user: []session.UserProperty{{Key: "sent-at", Value: "1700000000123"}}, want: at},
		"header before event": {user: []session.UserProperty{{Key: "sent-at", Value: "1700000000123"}, {Key: "time", Value: "2001-01-01T00:00:00Z"}}, want: at},
		"no number":           {user: []session.UserProperty{{Key: "sent-at", Value: "yesterday"}}},
		"negative":            {user: []session.UserProperty{{Key: "sent-at", Value: "-1"}}},
		"event":               {user: []session.UserProperty{{Key: "time", Value: "2023-11-14T22:13:20.123Z"}}, want: at},
		"prefixed event":      {user: []session.UserProperty{{Key: "ce-time", Value: "2023-11-14T22:13:20.123Z"}}, want: at},
		"no time":             {user: []session.UserProperty{{Key: "time", Value: "noon"}}},
		"retained":            {user: []session.UserProperty{{Key: "sent-at", Value: "1700000000123"}}, retain: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := &Event{Inbound: &session.Inbound{Retain: tt.retain, Properties: &session.Properties{User: tt.user}}}
			if got := e.SentAt(); !got.Equal(tt.want) {
				t.Errorf("%v, want %v", got, tt.want)
			}
		})
	}
}

// A message keeps the time that its caller set, and gets none where it has no place.
func TestStampSent(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		settings Settings
		bare     bool
		headers  map[string]string
		want     bool
	}{
		"stamped":    {settings: Settings{SentAt: true}, want: true},
		"kept":       {settings: Settings{SentAt: true}, headers: map[string]string{"sent-at": "5"}, want: true},
		"off":        {},
		"event":      {settings: Settings{SentAt: true, Source: "urn:x"}},
		"MQTT 3.1.1": {settings: Settings{SentAt: true}, bare: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := &Message{Body: []byte("x"), Headers: tt.headers}
			if err := tt.settings.encode(m, tt.bare); err != nil {
				t.Fatal(err)
			}
			value, ok := Last(m.Props().User, SentAtHeader)
			if ok != tt.want || tt.headers != nil && (value != "5" || len(m.Properties.User) != 1) {
				t.Errorf("header %q, %t", value, ok)
			}
		})
	}
}
