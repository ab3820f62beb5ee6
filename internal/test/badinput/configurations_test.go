package badinput_test

import (
	"crypto/x509"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/test/badinput"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// configurations reads the table and checks that it has not become too short.
func configurations(t *testing.T) (list []badinput.Configuration) {
	t.Helper()
	all, err := badinput.Configurations()
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 200 {
		t.Errorf("%d configurations, want at least 200", len(all))
	}
	for _, row := range all {
		if row.Kind == "settings" {
			list = append(list, row)
		}
	}
	return list
}

// TestBadSettings passes settings to both fronts. They must report every problem at once,
// without a secret, and open nothing.
func TestBadSettings(t *testing.T) {
	t.Parallel()
	dir := tlsFiles(t)
	for _, row := range configurations(t) {
		t.Run(row.Rule+"/"+row.Case, func(t *testing.T) {
			t.Parallel()
			var parts map[string]json.RawMessage
			if err := json.Unmarshal([]byte(strings.ReplaceAll(row.Text, "{{dir}}", dir)), &parts); err != nil {
				t.Fatal(err)
			}
			connection, publisher, subscriber := new(v1.Connection), new(v1.Publisher), new(v1.Subscriber)
			for name, text := range parts {
				var err error
				switch name {
				case "connection":
					err = protojson.Unmarshal(text, connection)
				case "publisher":
					err = protojson.Unmarshal(text, publisher)
				case "subscriber":
					err = protojson.Unmarshal(text, subscriber)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			if connection.Password == "" && connection.Username != "" {
				connection.Password = badinput.Secret
			}
			srv := mqttserver.NewServer(
				mqttserver.WithBrokerOptions(mqttbroker.WithConnectionConfig(connection), mqttbroker.WithSubscriberConfig(subscriber),
					mqttbroker.WithPublisherConfig(publisher)))
			wantProblems(t, row, srv.Start(t.Context()))
			if row.Rule == "dead-letter topic" || parts["subscriber"] != nil {
				return // a broker of the data layer has no subscriber
			}
			wantProblems(t, row, mqttbroker.NewBroker(mqttbroker.WithConnectionConfig(connection), mqttbroker.WithPublisherConfig(publisher)).Init())
		})
	}
}

func wantProblems(t *testing.T, row badinput.Configuration, err error) {
	t.Helper()
	var e *event.Error
	if !errors.As(err, &e) || e.Reason != event.ReasonBadRequest {
		t.Fatalf("got %T %v, want an *event.Error: %q", err, err, row.Want)
	}
	text := err.Error()
	for _, part := range row.Want {
		if !strings.Contains(text, part) {
			t.Errorf("%.2000s\ndoes not say %q", text, part)
		}
	}
	if strings.Contains(text, badinput.Secret) {
		t.Errorf("a secret is in %s", text)
	}
	if !oneLine(strings.ReplaceAll(text, "\n", " ")) || len(text) > 5000 {
		t.Errorf("not fit for a log: %.2000q", text)
	}
	if strings.HasPrefix(row.Rule, "MQTT-") && !strings.Contains(text, "["+row.Rule+"]") {
		t.Errorf("%s does not name %s", text, row.Rule)
	}
}

// tlsFiles creates the files that the table names.
func tlsFiles(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	ca := mqtttest.NewCA(t)
	_, cert, key := ca.Issue("a", x509.ExtKeyUsageClientAuth, time.Now().Add(time.Hour))
	_, _, other := ca.Issue("b", x509.ExtKeyUsageClientAuth, time.Now().Add(time.Hour))
	for name, from := range map[string]string{"cert.pem": cert, "key.pem": key, "other-key.pem": other} {
		text, err := os.ReadFile(from)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{"empty.pem": "", "rubbish.pem": "-----BEGIN NOTHING-----\n\x00\xff"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
