package faultmatrix_test

import (
	"fmt"

	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
)

// numbered returns the options of both sides with which a subscriber detects missing
// messages. On MQTT 3.1.1 only a CloudEvent has a place for the number.
func (h *harness) numbered() []broker.Option {
	opts := []broker.Option{mqttbroker.WithSequence(true)}
	if !h.five() {
		opts = append(opts, mqttbroker.WithCloudEvents("/faults"))
	}
	return opts
}

// missingIs checks that a subscriber reports exactly n missing messages, by its count, the
// hook and the log.
func (h *harness) missingIs(s *subscriber, n int) {
	h.Helper()
	h.eventually(func() error {
		if have := int(s.health().Missing); have != n {
			return fmt.Errorf("%d messages are told to be missing, but %d are", have, n)
		}
		if told := s.missing(); told != n {
			return fmt.Errorf("hooks were told of %d missing messages, want %d", told, n)
		}
		return nil
	})
	if n > 0 && h.said.logs("messages are missing") == 0 {
		h.Error("the log tells nothing of it")
	}
}

// missing returns the total that was reported to the hook.
func (s *spy) missing() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.gaps {
		n += g.Missing
	}
	return n
}
