package mqtt

import (
	"time"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// WithSubscriberConfig sets concurrency, queue, retry and dead-letter topic from a service's
// configuration. Unset fields keep their defaults; errors name the key.
func WithSubscriberConfig(c *v1.Subscriber) Option { return func(s *settings) { s.Subscriber(c) } }

// WithBreaker sets the breaker of all subscriptions: it pauses a subscription whose handler fails
// again and again, so that an outage of a dependency makes no dead letters, see [event.Breaker].
// Default: no breaker.
func WithBreaker(b event.Breaker) Option { return func(s *settings) { s.Config.Breaker = &b } }

// WithSubscribeBreaker sets the breaker of one subscription, in the place of that of [WithBreaker]
// or of the configuration of all; the zero value means none.
func WithSubscribeBreaker(b event.Breaker) SubscribeOption {
	return func(s *subscription) { s.Breaker = &b }
}

// WithSubscribeRetryBudget sets the time, from the start of the first attempt at a message, within
// which another attempt may start. Acknowledgements of later messages wait meanwhile. Default: 5 s.
func WithSubscribeRetryBudget(d time.Duration) SubscribeOption {
	return func(s *subscription) { s.Budget = d }
}

// WithSubscribeMaxBackoff is the longest pause between attempts. Default: 5 s within the budget, 30
// s between attempts at a parked or blocked message.
func WithSubscribeMaxBackoff(d time.Duration) SubscribeOption {
	return func(s *subscription) { s.MaxBackoff = d }
}

// WithSubscribeExhausted sets what happens to a message when all attempts have failed. Errors of
// the subscribe are an unknown value, and parking without a store that supports it, without a
// client id, or with manual acknowledgement. Default: event.ExhaustedDeadLetter.
func WithSubscribeExhausted(e event.Exhausted) SubscribeOption {
	return func(s *subscription) { s.Exhausted = e }
}

// WithSubscribeParkMaxAttempts sets the maximum number of attempts at a parked message, including
// those before it was parked. After them it becomes a dead letter, and the next message of its key
// is handled. Default: the attempts of WithSubscribeRetry, otherwise 0.
func WithSubscribeParkMaxAttempts(n int) SubscribeOption {
	return func(s *subscription) { s.ParkAttempts = &n }
}

// WithSubscribeReason sets what happens to a message whose handler returned a Kratos error with
// this reason or, for a number such as "404", this code. A reason takes precedence over a code, and
// event.WithVerdict over both. Default: messages that cannot be decoded and errors of code 400,
// 413, 422 and 501 are dead-lettered at once, all others are retried.
func WithSubscribeReason(reason string, v event.Verdict) SubscribeOption {
	return func(s *subscription) {
		all := map[string]event.Verdict{reason: v}
		for r, v := range s.Message.Reasons {
			if r != reason {
				all[r] = v
			}
		}
		s.Message.Reasons = all
	}
}
