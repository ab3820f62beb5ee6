package client

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
)

// maxBrokerDelay is the longest delay in seconds that every broker with a prefix for it accepts:
// EMQX discards messages with a longer one without an error.
const maxBrokerDelay = 4294967

// delayAtBroker sets the topic of a delayed message that does not go through an outbox to the one
// by which the broker delays it, which begins with the prefix of the preset; "" means that it
// cannot. The time is rounded up to seconds.
func delayAtBroker(m *Outgoing, prefix string, outbox bool, now time.Time) error {
	if !m.Due.After(now.Round(0)) {
		return nil
	}
	refused := func(reason event.Reason, cause error) error {
		return &event.Error{Op: "publish", Topic: logsafe.Clip(m.Topic), Reason: reason, Cause: cause}
	}
	switch {
	case prefix != "":
	case !outbox:
		return refused(event.ReasonUnsupported, errors.New("a delayed message needs an outbox, or a preset whose broker delays messages"))
	case m.SkipOutbox:
		return refused(event.ReasonUnsupported, errors.New("a delayed message cannot skip the outbox, which keeps it until it is due"))
	default:
		return refused(event.ReasonUnsupported, errors.New("a delayed message has QoS 0, which an outbox does not keep: want 1 or 2"))
	}
	seconds := int64((m.Due.Sub(now.Round(0)) + time.Second - 1) / time.Second)
	if seconds > maxBrokerDelay {
		return refused(event.ReasonBadRequest, fmt.Errorf("a delay of %d s, and the broker keeps messages for at most %d s", seconds, maxBrokerDelay))
	}
	m.Topic = prefix + strconv.FormatInt(seconds, 10) + "/" + m.Topic
	return nil
}
