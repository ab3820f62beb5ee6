package session

import (
	"fmt"
	"time"
)

// How long no further message is sent to a topic that the broker ended the
// connection over: each attempt costs everybody else a connection or two. It
// doubles with each conviction, from the first to the longest.
const (
	firstHold   = time.Second
	longestHold = time.Minute
)

// maxConvicts is how many topics are remembered.
const maxConvicts = 1024

// convict is what the broker does not take on a topic: messages of this size or
// more in bytes, as whole packets, retained or not. A smaller one, or one of the
// other kind, may be another matter and is tried.
type convict struct {
	retain bool
	size   int
	at     time.Time
	hold   time.Duration
	err    *Error
}

// convicts are the topics of convicted messages. The mutex of outbound is held.
type convicts map[string]*convict

// add remembers a convicted PUBLISH by its frame.
func (v convicts) add(frame []byte, err *Error, now time.Time) {
	topic, retain := topicOf(frame), frame[0]&1 != 0
	c := v[topic]
	if c == nil || c.retain != retain {
		if len(v) >= maxConvicts {
			v.forgetOldest()
		}
		v[topic] = &convict{retain, len(frame), now, firstHold, err}
		return
	}
	c.size, c.at, c.hold, c.err = min(c.size, len(frame)), now, min(2*c.hold, longestHold), err
}

func (v convicts) forgetOldest() {
	oldest := ""
	for topic, c := range v {
		if oldest == "" || c.at.Before(v[oldest].at) {
			oldest = topic
		}
	}
	delete(v, oldest)
}

// check refuses a message that would end the connection once more. The error
// convicts nobody: the message itself was not tried.
func (v convicts) check(m *Message, size int) error {
	if len(v) == 0 {
		return nil
	}
	c := v[m.Topic]
	if m.QoS == 0 {
		size += idSize // which the convicted one had
	}
	if c == nil || c.retain != m.Retain || size < c.size {
		return nil
	}
	ago := time.Since(c.at)
	if ago >= c.hold {
		return nil
	}
	return &Error{Op: opPublish, Topic: m.Topic, Reason: c.err.Reason, Cause: fmt.Errorf(
		"not sent: %v ago the broker ended connections over such a message, the next one may go in %v: %w",
		ago.Round(time.Millisecond), (c.hold - ago).Round(time.Millisecond), c.err.Cause)}
}

// idSize is what a packet identifier takes.
const idSize = 2
