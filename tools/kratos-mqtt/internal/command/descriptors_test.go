package command_test

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/operator"
	"github.com/kratos-mqtt/kratos-mqtt/operator/remote"
	"github.com/kratos-mqtt/kratos-mqtt/tools/kratos-mqtt/internal/schema"
)

// With an operator alone, messages are decoded and events published by the descriptors of its
// service. Without its reply messages are shown as they are.
func TestDescriptorsOfTheOperator(t *testing.T) {
	t.Parallel()
	files, err := schema.Load(t.Context(), api)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(remote.New(operator.New(operator.Options{Files: files}), "").Handler())
	t.Cleanup(server.Close)
	brokers(t, func(t *testing.T, url string) {
		p := tail(t, url, "-o", server.URL, "#")
		run(t, "", "publish", "-b", url, "-o", server.URL, "--operation", "RecordTelemetry", `{"device_id":"d1","temperature":71.5}`)
		run(t, "", "publish", "-b", url, "-t", "last", "last")
		if got := shown(t, p, "last"); !strings.Contains(got, "/device.v1.DeviceEvents/RecordTelemetry") {
			t.Errorf("not decoded: %s", got)
		}
		p.end()
		if err := p.wait(t); err != nil {
			t.Error(err)
		}
		gone := httptest.NewServer(nil)
		gone.Close()
		p = tail(t, url, "-o", gone.URL, "#")
		run(t, "", "publish", "-b", url, "-t", "last", "last")
		shown(t, p, "last")
		if got := p.Err.String(); !strings.Contains(got, "warning: no descriptors from the operator: cannot reach "+gone.URL) {
			t.Errorf("no warning: %s", got)
		}
	})
}
