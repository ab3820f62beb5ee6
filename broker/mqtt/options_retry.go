package mqtt

import (
	"time"

	"github.com/tx7do/kratos-transport/broker"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
)

// WithSubscriber takes concurrency, queue, retry and dead-letter topic from a
// service's configuration; what is unset keeps the defaults, and what is wrong
// is reported by its key. A key of its subscriptions is a topic filter or an
// operation; Connect warns of one that matches nothing.
func WithSubscriber(c *v1.Subscriber) broker.Option {
	return WithSettings(func(s *client.Settings) { s.Subscriber(c) })
}

// Number and first pause of the attempts are kratos-transport's
// broker.WithSubscribeRetry. What the configuration says
// about one subscription counts over all of these options, and they count over
// what it says about every subscription.

// WithSubscribeRetryBudget bounds the time, from the start of the first attempt
// at a message, within which another one may start; acknowledgements of what
// arrived later wait meanwhile. Default: 5 s.
func WithSubscribeRetryBudget(d time.Duration) broker.SubscribeOption {
	return subscribing(func(s *subscribeCall) { s.Budget = d })
}

// WithSubscribeMaxBackoff is the longest pause between attempts. Default: 5 s
// within the budget, 30 s between attempts at a parked or blocked message.
func WithSubscribeMaxBackoff(d time.Duration) broker.SubscribeOption {
	return subscribing(func(s *subscribeCall) { s.MaxBackoff = d })
}

// WithSubscribeExhausted sets what happens to a message when all attempts have failed.
// Errors of the subscribe are an unknown value, and parking without a store that
// supports it, without a client id, or with manual acknowledgement. Default:
// event.ExhaustedDeadLetter.
func WithSubscribeExhausted(e event.Exhausted) broker.SubscribeOption {
	return subscribing(func(s *subscribeCall) { s.Exhausted = e })
}

// WithSubscribeParkMaxAttempts sets the most attempts at a parked message, as a
// number that includes those before it was parked. After them it is a dead letter,
// and the next message of its key has its turn. A parked message is acknowledged
// already, so the broker delivers it no more, whatever the attempts bring. 0 is no
// bound but [WithParkLimit]; less is an
// error of the subscribe. It has an effect with event.ExhaustedPark only. Default:
// the attempts of broker.WithSubscribeRetry, and without those 0.
func WithSubscribeParkMaxAttempts(n int) broker.SubscribeOption {
	return subscribing(func(s *subscribeCall) { s.parkMaxAttempts = &n })
}

// WithSubscribeReason sets what happens to a message whose handler returned a Kratos
// error with this reason or, for a number such as "404", this code. A reason takes
// precedence over a code, and event.WithVerdict over both. An unknown verdict is an
// error of the subscribe. Default: messages that cannot be decoded and errors of code
// 400, 413, 422 and 501 are dead-lettered at once, all others are retried.
func WithSubscribeReason(reason string, v event.Verdict) broker.SubscribeOption {
	return subscribing(func(s *subscribeCall) {
		all := map[string]event.Verdict{reason: v}
		for r, v := range s.typed.Reasons {
			if r != reason {
				all[r] = v
			}
		}
		s.typed.Reasons = all
	})
}
