package operator

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/topic"
)

// Criteria select letters. A field that is not set selects all; letters have to fit every field
// that is set.
type Criteria struct {
	// Fingerprint is that of the group, see [deadletter.Letter.Fingerprint]. A store with an
	// index finds these letters without reading the others.
	Fingerprint string
	// Operation is /pkg.Service/Method, and Subscription the topic filter of the subscription,
	// both in full.
	Operation, Subscription string
	// Topic is a topic filter that the topic of the message matches; it may have wildcards.
	Topic string
	// Reason is the error type, or a part of the reason, upper and lower case apart.
	Reason string
	// Origin is the origin of the letter in full, see [deadletter.Letter.Origin].
	Origin string
	// From and To bound when the message was received: From <= received < To.
	From, To time.Time
	// Suspect selects letters that are suspect, or that are not; nil selects both.
	Suspect *bool
}

// maxFilterText is the number of bytes that a text of criteria may have: no topic is longer.
const maxFilterText = 65535

// Validate returns all problems of the criteria, joined; they wrap [ErrBadRequest].
func (c *Criteria) Validate() error {
	var errs []error
	for _, text := range []struct{ name, value string }{
		{"fingerprint", c.Fingerprint},
		{"operation", c.Operation},
		{"subscription", c.Subscription},
		{"reason", c.Reason},
		{"origin", c.Origin},
	} {
		if len(text.value) > maxFilterText {
			errs = append(errs, fmt.Errorf("%w: %s has %d bytes, want at most %d", ErrBadRequest, text.name, len(text.value), maxFilterText))
		}
	}
	if c.Topic != "" {
		if err := topic.ValidateFilter(c.Topic); err != nil {
			errs = append(errs, fmt.Errorf("%w: topic: %w", ErrBadRequest, err))
		}
	}
	if !c.From.IsZero() && !c.To.IsZero() && !c.From.Before(c.To) {
		errs = append(errs, fmt.Errorf("%w: from %v is not before to %v", ErrBadRequest, c.From, c.To))
	}
	return errors.Join(errs...)
}

// empty reports whether the criteria select everything.
func (c *Criteria) empty() bool { return *c == Criteria{} }

// matches reports whether a letter fits. What costs most is compared last.
func (c *Criteria) matches(l *deadletter.Letter) bool {
	return (c.Operation == "" || c.Operation == l.Operation) &&
		(c.Subscription == "" || c.Subscription == l.Filter) &&
		(c.Suspect == nil || *c.Suspect == (l.Suspect != "")) &&
		c.within(l.Received) &&
		(c.Reason == "" || c.Reason == l.ErrorType || strings.Contains(l.Reason, c.Reason)) &&
		(c.Topic == "" || topic.Match(c.Topic, l.Topic)) &&
		(c.Origin == "" || c.Origin == l.Origin()) &&
		(c.Fingerprint == "" || c.Fingerprint == l.Fingerprint())
}

// within reports whether a time is in the range; an unknown time is in no range.
func (c *Criteria) within(t time.Time) bool {
	return (c.From.IsZero() || !t.Before(c.From)) && (c.To.IsZero() || !t.IsZero() && t.Before(c.To))
}

// start returns an id before that of every letter that was received at From or later: a letter
// gets its id, a UUIDv7, after its message was received.
func (c *Criteria) start() string {
	ms := c.From.UnixMilli()
	if c.From.IsZero() || ms <= 0 {
		return ""
	}
	return idBefore(ms)
}

// idBefore returns a text that is less than every UUIDv7 of this millisecond since 1970 or
// later, and more than those before.
func idBefore(ms int64) string {
	digits := fmt.Sprintf("%012x", ms)
	return digits[:8] + "-" + digits[8:]
}
