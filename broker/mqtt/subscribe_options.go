package mqtt

import (
	"math"

	"github.com/tx7do/kratos-transport/broker"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/option"
)

// subscribeCall are the settings of one Subscribe.
type subscribeCall struct {
	option.Subscription
	generic broker.SubscribeOptions
}

// subscribing makes a kratos-transport option of a change to one subscription.
func subscribing(set func(*option.Subscription)) broker.SubscribeOption {
	return func(o *broker.SubscribeOptions) {
		if o != nil {
			o.Context = option.Change(o.Context, set)
		}
	}
}

// unset is the number of retries if the option was not used, to distinguish it from 0.
const unset = math.MinInt

func newSubscribeCall(opts []broker.SubscribeOption) *subscribeCall {
	s := &subscribeCall{generic: broker.SubscribeOptions{AutoAck: true, MaxRetries: unset}}
	s.QoS = option.DefaultQoS
	option.Apply(&option.Context[option.Subscription]{Settings: &s.Subscription}, &s.generic, &s.generic.Context, opts)
	return s
}

// take takes over the generic options that were used.
func (s *subscribeCall) take() {
	o := &s.generic
	if s.ManualAck, s.Concurrency = !o.AutoAck, o.Concurrency; o.Queue != "" {
		s.Group = o.Queue
	}
	if o.RetryDelay != 0 {
		s.Backoff = o.RetryDelay
	}
	if o.MaxRetries == unset {
		o.MaxRetries = 0
	} else {
		s.SetRetries(o.MaxRetries)
	}
}
