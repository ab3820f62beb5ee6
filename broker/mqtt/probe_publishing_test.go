package mqtt_test

import (
	"slices"
	"testing"
	"time"

	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	testbroker "github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
	probes "github.com/kratos-mqtt/kratos-mqtt/observe"
)

// A client whose publishing connection is refused is not healthy, although its subscriptions
// work.
func TestProbeOfARefusedPublishingConnection(t *testing.T) {
	t.Parallel()
	url := mqtttest.InProcess(t, testbroker.WithAuthentication(func(id, _, _ string) byte {
		if id == "app-pub" {
			return 5 // not authorized
		}
		return 0
	})).URL()
	b := open(t, url, mqttbroker.WithClientId("app"))
	subscribe(t, b, "received")
	if err := b.Connect(); err != nil {
		t.Fatal(err)
	}
	if err := b.WaitReady(within(t, patience)); err != nil {
		t.Fatal(err)
	}
	probe := probes.NewProbe(probes.Limits{}, b)
	if r := probe.Check(); r.Status != probes.Ready {
		t.Errorf("before a publish: %+v", r)
	}
	if err := b.Publish(within(t, time.Second), "sent", broker.NewMessage("x")); err == nil {
		t.Fatal("published")
	}
	r := probe.Check()
	found := slices.ContainsFunc(r.Findings, func(f probes.Finding) bool { return f.Code == probes.CodeConnectionDown })
	if r.Status != probes.Degraded || !found {
		t.Errorf("%+v", r)
	}
}
