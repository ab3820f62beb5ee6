package soak

import (
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// fleet is the broker of a run, with the faults that only this broker can produce.
type fleet interface {
	mqtttest.Broker
	// faults returns the faults of the broker itself.
	faults() []fault
	// ordered reports whether the broker keeps the order of a topic.
	ordered() bool
	// verdict returns an error if the broker itself lost something, which makes the run
	// invalid.
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

// ordered implements fleet. When a client has just reconnected and has a queue, mosquitto
// 2.0.11 sends new messages between the entries of the queue.
func (m *mosquitto) ordered() bool { return false }
