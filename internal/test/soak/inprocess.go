package soak

import (
	"errors"
	"fmt"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
)

// inProcessFleet can be killed on both versions, and produces faults within the protocol.
type inProcessFleet struct {
	*broker.Broker
	tb       testing.TB
	protocol string
}

func newInProcess(tb testing.TB, o Options) fleet {
	b, err := broker.Listen(broker.WithSeed(o.Seed))
	if err != nil {
		tb.Fatalf("chain: %v", err)
	}
	tb.Cleanup(b.Close)
	return &inProcessFleet{b, tb, o.Protocol}
}

// Features implements mqtttest.Broker.
func (s *inProcessFleet) Features() mqtttest.Features { return mqtttest.Features{Name: InProcess} }

// Start implements mqtttest.Broker.
func (s *inProcessFleet) Start() {
	if err := s.Broker.Start(); err != nil {
		s.tb.Fatalf("chain: %v", err)
	}
}

// Reason codes of MQTT 5.
const (
	serverBusy    = 0x89
	quotaExceeded = 0x97
)

func (s *inProcessFleet) faults() []fault {
	kinds := []fault{
		{"kill broker", func(*run) {
			s.Kill(true)
			s.Start()
		}},
		{"restart broker", func(r *run) {
			s.Stop()
			r.pause(0, 200)
			s.Start()
		}},
		{"freeze broker", func(r *run) {
			s.Freeze(true)
			r.pause(100, 500)
			s.Freeze(false)
		}},
		{"deliver again", func(*run) { s.Redeliver() }},
		{"malformed bytes", func(*run) { s.Send([]byte{0xF0 | 0x0F, 0xFF, 0xFF, 0xFF, 0xFF, 0x01}) }},
		{"refuse connect", func(r *run) {
			r.during(broker.Fault{Direction: broker.ToBroker, Type: broker.Connect, Do: broker.Refuse(serverBusy), Times: 2}, func() {
				r.proxy().Cut()
				r.pause(100, 300)
			})
		}},
		{"cut within publish", func(r *run) {
			r.during(broker.Fault{Direction: broker.ToClient, Type: broker.Publish, Do: broker.CutWithin(), Times: 1}, func() { r.pause(20, 60) })
		}},
		{"cut before ack", func(r *run) {
			r.during(broker.Fault{Direction: broker.ToClient, Type: broker.Puback, Do: broker.CutBefore(), Times: 1}, func() { r.pause(20, 60) })
		}},
		{"replay publish", func(r *run) {
			r.during(broker.Fault{Direction: broker.ToClient, Type: broker.Publish, Do: broker.Replay(), Times: 20}, func() { r.pause(20, 60) })
		}},
	}
	if s.protocol == "5" {
		kinds = append(kinds, fault{"refuse publish", func(r *run) {
			r.during(broker.Fault{Direction: broker.ToBroker, Type: broker.Publish, Do: broker.Refuse(quotaExceeded), Times: 5}, func() { r.pause(20, 60) })
		}})
	}
	return kinds
}

// during applies a fault while do runs.
func (r *run) during(f broker.Fault, do func()) {
	s, ok := r.fleet.(*inProcessFleet)
	if !ok {
		r.tb.Fatal("chain: a fault of another broker")
	}
	injected, err := s.Inject(f)
	if err != nil {
		r.tb.Fatalf("chain: %v", err)
	}
	do()
	injected.Remove()
	if f.Direction == broker.ToBroker && f.Type == broker.Publish {
		r.refused += int(injected.Applied())
	}
}

// ordered implements fleet.
func (s *inProcessFleet) ordered() bool { return true }

// verdict implements fleet.
func (s *inProcessFleet) verdict() error {
	c := s.Counts()
	var errs []error
	if n := c.Dropped(); n > 0 {
		errs = append(errs, fmt.Errorf("the broker dropped %d messages that it should have delivered: the run is invalid", n))
	}
	if n := c.EndedWithSession; n > 0 {
		errs = append(errs, fmt.Errorf("%d messages ended with their session", n))
	}
	return errors.Join(errs...)
}
