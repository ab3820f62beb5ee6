package client

import (
	"cmp"
	"errors"
	"fmt"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// maxBreakerFailures bounds how many failures a breaker waits for.
const maxBreakerFailures = 1000

// breaker reads what the configuration says about a breaker.
func (p *problems) breaker(key string, c *v1.Breaker, to *policy) {
	if c == nil {
		return
	}
	var b event.Breaker
	p.duration(key+".window", c.GetWindow(), &b.Window)
	p.duration(key+".pause", c.GetPause(), &b.Pause)
	if b.Failures = event.DefaultBreakerFailures; c.Failures != nil {
		if n := c.GetFailures(); n > maxBreakerFailures {
			p.addf(key+".failures", "is %d, want at most %d; 0 is no breaker", n, maxBreakerFailures)
		} else {
			b.Failures = int(n)
		}
	}
	to.breaker = &b
}

// defaultBreaker sets the breaker of subscriptions for which the configuration has none.
func (p *policies) defaultBreaker(b *event.Breaker) error {
	p.all.breaker = cmp.Or(p.all.breaker, b)
	return checkBreaker(b)
}

// checkBreaker refuses a breaker that was set in code.
func checkBreaker(b *event.Breaker) error {
	if b == nil {
		return nil
	}
	if b.Failures < 0 || b.Failures > maxBreakerFailures {
		return fmt.Errorf("breaker of %d failures, want 1 to %d; 0 is no breaker", b.Failures, maxBreakerFailures)
	}
	if b.Window < 0 || b.Pause < 0 {
		return errors.New("breaker with a negative duration")
	}
	return nil
}

// withDefaults fills in the times of a breaker.
func withDefaults(b event.Breaker) event.Breaker {
	b.Window = cmp.Or(b.Window, event.DefaultBreakerWindow)
	b.Pause = cmp.Or(b.Pause, event.DefaultBreakerPause)
	return b
}
