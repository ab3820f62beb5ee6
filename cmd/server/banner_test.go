package main

import (
	"strings"
	"testing"

	kratosmqttv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	"github.com/kratos-mqtt/kratos-mqtt/internal/conf"
)

func TestBannerNamesNoCredentials(t *testing.T) {
	t.Parallel()
	connection := &kratosmqttv1.Connection{
		Addresses: []string{"mqtts://user:secret@one.example:8883", "tcp://[::1]:1883", "user:secret@two.example:1883", "user@::1", "three.example"},
		Username:  "user", Password: "secret",
	}
	c := &conf.Bootstrap{Data: &conf.Data{Database: &conf.Data_Database{Source: "/data/reports.db"}}}
	text := banner(c, nil, nil, nil, nil, connection, false)
	for _, want := range []string{"mqtts://one.example:8883, tcp://[::1]:1883, two.example:1883, ::1, three.example", "/data/reports.db"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q does not say %q", text, want)
		}
	}
	for _, unwanted := range []string{"secret", "user", "curl", "development"} {
		if strings.Contains(text, unwanted) {
			t.Errorf("%q says %q", text, unwanted)
		}
	}
}
