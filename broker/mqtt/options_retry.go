package mqtt

import (
	"time"

	"github.com/tx7do/kratos-transport/broker"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/option"
)

// WithSubscriberConfig sets concurrency, queue, retry and dead-letter topic from a service's
// configuration. Unset fields keep their defaults; errors name the key. A key of its
// subscriptions is a topic filter or an operation; Connect logs a warning for one that
// matches no subscription.
func WithSubscriberConfig(c *v1.Subscriber) broker.Option {
	return with(func(s *client.Settings) { s.Subscriber(c) })
}

// WithBreaker sets the breaker of all subscriptions: it pauses a subscription whose handler
// fails again and again, so that an outage of a dependency makes no dead letters, see
// [event.Breaker]. Each operation has its own, and so has each subscription by hand. Give
// subscriptions that must not wait for each other sessions of their own
// ([WithSubscribeOwnSession]). The configuration takes precedence. Default: no breaker.
func WithBreaker(b event.Breaker) broker.Option {
	return with(func(s *client.Settings) { s.Config.Breaker = &b })
}

// WithSubscribeBreaker sets the breaker of one subscription, in the place of that of
// [WithBreaker] or of the configuration of all; the zero value means none.
func WithSubscribeBreaker(b event.Breaker) broker.SubscribeOption {
	return subscribing(func(s *option.Subscription) { s.Breaker = &b })
}

// The number of attempts and the first pause are set by kratos-transport's
// broker.WithSubscribeRetry. The configuration of one subscription takes precedence
// over these options, and they take precedence over the configuration of all
// subscriptions.

// WithSubscribeRetryBudget sets the time, from the start of the first attempt at a
// message, within which another attempt may start. Acknowledgements of later messages
// wait meanwhile. Default: 5 s.
func WithSubscribeRetryBudget(d time.Duration) broker.SubscribeOption {
	return subscribing(func(s *option.Subscription) { s.Budget = d })
}

// WithSubscribeMaxBackoff is the longest pause between attempts. Default: 5 s
// within the budget, 30 s between attempts at a parked or blocked message.
func WithSubscribeMaxBackoff(d time.Duration) broker.SubscribeOption {
	return subscribing(func(s *option.Subscription) { s.MaxBackoff = d })
}

// WithSubscribeExhausted sets what happens to a message when all attempts have failed.
// Errors of the subscribe are an unknown value, and parking without a store that
// supports it, without a client id, or with manual acknowledgement. Default:
// event.ExhaustedDeadLetter.
func WithSubscribeExhausted(e event.Exhausted) broker.SubscribeOption {
	return subscribing(func(s *option.Subscription) { s.Exhausted = e })
}

// WithSubscribeParkMaxAttempts sets the maximum number of attempts at a parked message,
// including those before it was parked. After them it becomes a dead letter, and the
// next message of its key is handled. A parked message is already acknowledged, so the
// broker does not deliver it again, whatever the result. 0 means no limit except
// [WithParkLimit]; a negative number is an error of the subscribe. It only has an
// effect with event.ExhaustedPark. Default: the attempts of broker.WithSubscribeRetry,
// otherwise 0.
func WithSubscribeParkMaxAttempts(n int) broker.SubscribeOption {
	return subscribing(func(s *option.Subscription) { s.ParkAttempts = &n })
}

// WithSubscribeReason sets what happens to a message whose handler returned a Kratos
// error with this reason or, for a number such as "404", this code. A reason takes
// precedence over a code, and event.WithVerdict over both. An unknown verdict is an
// error of the subscribe. Default: messages that cannot be decoded and errors of code
// 400, 413, 422 and 501 are dead-lettered at once, all others are retried.
func WithSubscribeReason(reason string, v event.Verdict) broker.SubscribeOption {
	return subscribing(func(s *option.Subscription) {
		all := map[string]event.Verdict{reason: v}
		for r, v := range s.Message.Reasons {
			if r != reason {
				all[r] = v
			}
		}
		s.Message.Reasons = all
	})
}
