package outbox

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
)

// Settings configure an outbox. They do not change once it is created.
type Settings struct {
	Store outbox.Store
	Poll  time.Duration
	// KeepAcknowledged is how long acknowledged messages stay in the store.
	KeepAcknowledged time.Duration
	// SkipWhenEmpty is the time limit of a publish that bypasses the store while the store is
	// empty; 0 means that all messages are stored.
	SkipWhenEmpty time.Duration
	// Gate holds the relay back until it returns nil, Subscriptions while they
	// are not granted, Own while those of the client itself are not.
	Gate          func(ctx context.Context) error
	Subscriptions event.Subscriptions
	Own           bool
	// Backlog bounds the messages that this process has sent to itself; nil means no
	// bound.
	Backlog *event.Backlog
	// Unrouted sets, by operation, what happens to messages without a subscriber.
	Unrouted map[string]event.Unrouted
	// RefusedLimit and RefusedAttempts bound how long a message that the broker refuses is
	// tried again; 0 means the default.
	RefusedLimit    time.Duration
	RefusedAttempts int

	problems []error // of the configuration
}

// Configure applies what the configuration of a service says about how an
// outbox sends; the store and its bounds are made before, by package
// event/stores, which knows the drivers. nil changes nothing.
func (s *Settings) Configure(c *v1.Outbox) {
	s.duration("keep_acknowledged", c.GetKeepAcknowledged(), &s.KeepAcknowledged)
	s.positive("refused_limit", c.GetRefusedLimit(), &s.RefusedLimit)
	if n := int(min(c.GetRefusedAttempts(), math.MaxInt32)); n != 0 {
		s.RefusedAttempts = n
	}
	for _, operation := range slices.Sorted(maps.Keys(c.GetUnrouted())) {
		s.unrouted(operation, c.GetUnrouted()[operation])
	}
}

func (s *Settings) duration(key string, d *durationpb.Duration, to *time.Duration) {
	switch {
	case d == nil:
	case !d.IsValid() || d.AsDuration() < 0:
		s.badf(key, "is %v, want 0s or more", d.AsDuration())
	case d.AsDuration() > 0:
		*to = d.AsDuration()
	}
}

// positive takes a setting whose 0 means nothing.
func (s *Settings) positive(key string, d *durationpb.Duration, to *time.Duration) {
	if d != nil && d.AsDuration() == 0 {
		s.badf(key, "is 0s, want more; leave it out for the default")
		return
	}
	s.duration(key, d, to)
}

func (s *Settings) unrouted(operation string, c *v1.Unrouted) {
	key := "unrouted." + operation
	if !strings.HasPrefix(operation, "/") || strings.Count(operation, "/") != 2 {
		s.badf(key, "want an operation, as /package.Service/Method")
	}
	u := event.Unrouted{Retry: c.GetPolicy() == "retry"}
	if p := c.GetPolicy(); p != "" && p != "accept" && p != "retry" {
		s.badf(key+".policy", "is not known, want accept or retry")
	}
	s.positive(key+".max_age", c.GetMaxAge(), &u.MaxAge)
	s.SetUnrouted(operation, u)
}

// SetUnrouted sets what happens to messages of an operation that have no subscriber.
func (s *Settings) SetUnrouted(operation string, u event.Unrouted) {
	if s.Unrouted == nil {
		s.Unrouted = make(map[string]event.Unrouted)
	}
	s.Unrouted[operation] = u
}

func (s *Settings) badf(key, format string, args ...any) {
	s.problems = append(s.problems, event.NewSettingError("Outbox", key, format, args...))
}

// RetryUnrouted returns how long a message of a method (nil for none) is sent
// again while it has no subscriber: as its call sets it, else the configuration, else its
// method.
func (o *Outbox) RetryUnrouted(method *event.MethodDesc, call *event.Unrouted) time.Duration {
	u := call
	if u == nil && method != nil {
		u = method.Unrouted
		if configured, ok := o.settings.Unrouted[method.Operation]; ok {
			u = &configured
		}
	}
	return u.RetryFor()
}

var errNoStore = errors.New("the outbox has no store")

// check reports every problem of the settings.
func (s *Settings) check() error {
	switch {
	case s.Store == nil:
		return errNoStore
	case isNil(s.Store):
		return fmt.Errorf("the store of the outbox is a nil %T", s.Store)
	case s.KeepAcknowledged < 0 || s.Poll < 0 || s.SkipWhenEmpty < 0:
		return fmt.Errorf("outbox: keep acknowledged for %v, poll interval of %v, skip when empty within %v", s.KeepAcknowledged, s.Poll, s.SkipWhenEmpty)
	case s.RefusedLimit < 0 || s.RefusedAttempts < 0:
		return fmt.Errorf("outbox: refused limit of %v, %d refused attempts", s.RefusedLimit, s.RefusedAttempts)
	}
	return errors.Join(s.problems...)
}
