package bridge

import (
	"context"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
)

// Start connects and subscribes, and keeps the connection until Stop. A broker that
// is down is tried again in the background and no error, unless fail-fast is set;
// settings that cannot work, a refused login and a refused filter are. While connected
// it does nothing. ctx bounds the first attempt, and handlers find its values in
// theirs; its end after that ends nothing.
func (b *Broker) Start(ctx context.Context) error {
	if ctx == nil {
		return badRequest("connect", "", "context is nil")
	}
	b.state()
	b.mu.RLock() // no other client may take over the subscriptions meanwhile
	defer b.mu.RUnlock()
	s := b.now.Load()
	if s.err != nil {
		return s.err
	}
	if err := s.client.Start(ctx); err != nil {
		return client.ErrorOf("connect", "", err)
	}
	if s.outbox != nil {
		s.outbox.Start()
		if !s.client.Running() { // a Stop came between, and did not know of it
			s.outbox.Stop(ctx)
		}
	}
	return nil
}

// Stop drains within ctx, or for 10 s without a deadline, and says DISCONNECT.
// Subscriptions stay registered for the next Start.
func (b *Broker) Stop(ctx context.Context) error {
	if ctx == nil {
		return badRequest("disconnect", "", "context is nil")
	}
	s := b.now.Load()
	if s == nil || s.client == nil { // nothing was ever started
		return nil
	}
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, client.DefaultStopTimeout)
		defer cancel()
	}
	err := client.ErrorOf("disconnect", "", s.client.Stop(ctx))
	b.replies.Wait(ctx) // their connection is closed
	s.told.Wait(ctx)
	if s.sequence != nil {
		s.sequence.Reset()
	}
	return err
}

// WaitReady returns nil once connected with every filter granted. It waits
// within ctx, also for Connect.
func (b *Broker) WaitReady(ctx context.Context) error {
	if ctx == nil {
		return badRequest("connect", "", "context is nil")
	}
	s := b.state()
	if s.err != nil {
		return s.err
	}
	return client.ErrorOf("connect", "", s.client.WaitReady(ctx))
}
