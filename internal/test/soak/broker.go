package soak

import (
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// fleet is a broker of a run, with the faults that only this broker can make.
type fleet interface {
	mqtttest.Broker
	// faults of the broker itself.
	faults() []fault
	// ordered reports whether the broker keeps the order of a topic.
	ordered() bool
	// verdict is an error when the broker lost something of its own accord,
	// which makes the run worthless.
	verdict() error
}

func newFleet(tb testing.TB, o Options) fleet {
	if o.Broker == Mosquitto {
		return &mosquitto{mqtttest.Mosquitto(tb, mqtttest.WithCredentials(user, password))}
	}
	return newInProcess(tb, o)
}

type mosquitto struct{ *mqtttest.MosquittoBroker }

func (m *mosquitto) faults() []fault {
	return []fault{
		{"pause broker", func(r *run) {
			m.Pause()
			r.pause(100, 500)
			m.Resume()
		}},
		{"restart broker", func(*run) {
			m.Stop()
			m.Start()
		}},
	}
}

func (m *mosquitto) verdict() error { return nil }

// ordered: with a queue for a client that has just come back, mosquitto 2.0.11
// sends what arrives meanwhile between the entries of the queue.
func (m *mosquitto) ordered() bool { return false }
