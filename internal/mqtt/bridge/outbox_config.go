package bridge

import (
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// Configure applies what the configuration of a service says about how an
// outbox sends; the store and its bounds are made before. nil changes nothing.
func (o *Outbox) Configure(c *v1.Outbox) {
	switch c.GetDriver() {
	case "", "file", "sql", "memory", "none":
	default:
		o.badf("driver", "is not known, want file, sql, memory or none")
	}
	o.duration("hold", c.GetHold(), &o.Hold)
	o.positive("refused_limit", c.GetRefusedLimit(), &o.RefusedLimit)
	put(&o.RefusedAttempts, int(min(c.GetRefusedAttempts(), math.MaxInt32)))
	for _, operation := range slices.Sorted(maps.Keys(c.GetUnrouted())) {
		o.unrouted(operation, c.GetUnrouted()[operation])
	}
}

func (o *Outbox) duration(key string, d *durationpb.Duration, to *time.Duration) {
	switch {
	case d == nil:
	case !d.IsValid() || d.AsDuration() < 0:
		o.badf(key, "is %v, want 0s or more", d.AsDuration())
	default:
		put(to, d.AsDuration())
	}
}

// positive takes a setting whose 0 means nothing.
func (o *Outbox) positive(key string, d *durationpb.Duration, to *time.Duration) {
	if d != nil && d.AsDuration() == 0 {
		o.badf(key, "is 0s, want more; leave it out for the default")
		return
	}
	o.duration(key, d, to)
}

func (o *Outbox) unrouted(operation string, c *v1.Unrouted) {
	key := "unrouted." + operation
	if !strings.HasPrefix(operation, "/") || strings.Count(operation, "/") != 2 {
		o.badf(key, "want an operation, as /package.Service/Method")
	}
	u := event.Unrouted{Retry: c.GetPolicy() == "retry"}
	if p := c.GetPolicy(); p != "" && p != "accept" && p != "retry" {
		o.badf(key+".policy", "is not known, want accept or retry")
	}
	o.positive(key+".max_age", c.GetMaxAge(), &u.MaxAge)
	o.SetUnrouted(operation, u)
}

// SetUnrouted says what becomes of the messages of one operation.
func (o *Outbox) SetUnrouted(operation string, u event.Unrouted) {
	if o.Unrouted == nil {
		o.Unrouted = make(map[string]event.Unrouted)
	}
	o.Unrouted[operation] = u
}

func (o *Outbox) badf(key, format string, args ...any) {
	o.problems = append(o.problems, event.Setting("Outbox", key, format, args...))
}

// retryUnrouted is for how long a message goes again while it has no
// subscriber: by its call, else the configuration, else its method.
func (k *keeper) retryUnrouted(own *PublishSettings) time.Duration {
	if k == nil {
		return 0
	}
	u := own.Unrouted
	if m := own.Method; u == nil && m != nil {
		u = m.Unrouted
		if configured, ok := k.cfg.Unrouted[m.Operation]; ok {
			u = &configured
		}
	}
	return u.RetryFor()
}
