package bridge

import (
	"context"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
)

// subscribeTimeout bounds the wait for a SUBACK or UNSUBACK of a call that has no
// context of its own.
const subscribeTimeout = 10 * time.Second

// Subscribe registers a handler. While connected it waits up to 10 s for the
// SUBACK and a refusal is an error; before Start it registers, and Start reports the
// refusal. A second handler on the same filter runs as well. topic is the filter as
// errors and the configuration name it.
func (b *Broker) Subscribe(topic string, sub *client.Subscription) error {
	b.state()
	b.mu.RLock() // Init moves the subscriptions to another client
	defer b.mu.RUnlock()
	s := b.now.Load()
	if s.err != nil {
		return s.err
	}
	sub.Letters = sub.Letters || topic == s.cfg.DeadLetterTopic
	ctx, cancel := context.WithTimeout(context.Background(), subscribeTimeout)
	defer cancel()
	_, err := s.client.Subscribe(ctx, sub)
	return client.ErrorOf("subscribe", topic, err)
}

// Unsubscribe takes a registration back and waits up to 10 s for the UNSUBACK. What
// still comes for a filter without handlers is acknowledged and counted.
func (b *Broker) Unsubscribe(topic string, sub *client.Subscription) error {
	b.mu.RLock()
	defer b.mu.RUnlock()
	b.gaps.Forget() // what is published from now on is not meant for us
	ctx, cancel := context.WithTimeout(context.Background(), subscribeTimeout)
	defer cancel()
	return client.ErrorOf("unsubscribe", topic, b.client.Unsubscribe(ctx, sub))
}

// Protect runs a callback of the user's, and logs its panic.
func (b *Broker) Protect(what string, f func()) { b.state().protect(what, f) }
