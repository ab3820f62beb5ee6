package mqtt_test

import (
	"strings"
	"testing"

	"github.com/go-kratos/kratos/v2/log"
	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// A log line of this module names the caller that logged it, not the adapter that
// passed it on.
func TestCallerOfALine(t *testing.T) {
	t.Parallel()
	out := new(logs)
	b := mqttbroker.NewBroker(broker.WithAddress(mqtttest.InProcess(t).URL()), broker.WithCodec("json"),
		mqttbroker.WithKratosLogger(log.With(log.NewStdLogger(out), "caller", log.DefaultCaller)))
	subscribe(t, b, "a")
	if err := b.Connect(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = b.Disconnect() }()
	ready(t, b)
	mqtttest.Eventually(t, patience, func() bool { return strings.Contains(out.String(), "caller=client/events.go") })
	if text := out.String(); strings.Contains(text, "logger.go") || strings.Contains(text, "helper.go") {
		t.Errorf("the caller is not ours:\n%s", text)
	}
}
