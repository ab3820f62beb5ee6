package mqtt_test

import (
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// engine.md D17: an application that ends at once calls Stop before Start. That Start
// must not begin anything, because no other Stop would follow.
func TestStopBeforeTheFirstStart(t *testing.T) {
	t.Parallel()
	b := mqtttest.InProcess(t)
	srv := mqttserver.NewServer(mqttserver.WithAddress([]string{b.URL()}))
	if err := srv.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := srv.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := len(b.Sessions()); n != 0 {
		t.Errorf("%d clients are left", n)
	}
	for range 2 { // after that Start works, however often it was stopped
		if err := srv.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := srv.WaitReady(within(t, patience)); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := srv.Stop(within(t, patience)); err != nil {
				t.Fatal(err)
			}
		}
	}
}
