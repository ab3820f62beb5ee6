package soak_test

import (
	"os"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/internal/test/soak"
)

func TestMain(m *testing.M) {
	soak.RunChild()
	os.Exit(m.Run())
}

// TestNothingIsLost is `make faults` with fewer messages; the same variables change it.
func TestNothingIsLost(t *testing.T) {
	for _, o := range []soak.Options{
		{Messages: 50_000, Faults: 60, Protocol: "5", Broker: soak.InProcess},
		{Messages: 50_000, Faults: 60, Protocol: "3.1.1", Broker: soak.Mosquitto},
	} {
		t.Run(o.Broker+"/"+o.Protocol, func(t *testing.T) {
			t.Parallel()
			o, err := o.FromEnv()
			if err != nil {
				t.Fatal(err)
			}
			r := soak.Run(t, o)
			t.Log(r)
			if err := r.Err(); err != nil {
				t.Error(err)
			}
			if r.Faults < o.Faults || r.Accepted < o.Messages {
				t.Errorf("%d of %d faults, %d of %d messages", r.Faults, o.Faults, r.Accepted, o.Messages)
			}
			for _, kind := range r.Rare() {
				t.Logf("fewer than five times: %s", kind)
			}
		})
	}
}
