package client

import (
	"context"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
)

// Resolver returns the client of a broker or a server, or the error of its options. Its
// methods are those of the client that fronts offer as they are; they return that error.
type Resolver func() (*Client, error)

// DeadLetters returns the store of dead letters in use.
func (r Resolver) DeadLetters() (deadletter.Store, error) {
	c, err := r()
	if err != nil {
		return nil, err
	}
	return c.DeadLetters(), nil
}

// Replay is [Client.Replay].
func (r Resolver) Replay(ctx context.Context, ids ...string) (int, error) {
	return of(r, func(c *Client) (int, error) { return c.Replay(ctx, ids...) })
}

// ReplayConfirmed is [Client.ReplayConfirmed].
func (r Resolver) ReplayConfirmed(ctx context.Context, ids ...string) (int, error) {
	return of(r, func(c *Client) (int, error) { return c.ReplayConfirmed(ctx, ids...) })
}

// PublishLetter is [Client.PublishLetter].
func (r Resolver) PublishLetter(ctx context.Context, l *deadletter.Letter) error {
	return r.do(func(c *Client) error { return c.PublishLetter(ctx, l) })
}

// RetryParked is [Client.RetryParked].
func (r Resolver) RetryParked(ctx context.Context, ids ...string) (int, error) {
	return of(r, func(c *Client) (int, error) { return c.RetryParked(ctx, ids...) })
}

// Quarantined is [Client.Quarantined].
func (r Resolver) Quarantined(ctx context.Context, after uint64, limit int) ([]outbox.Quarantined, error) {
	return of(r, func(c *Client) ([]outbox.Quarantined, error) { return c.Quarantined(ctx, after, limit) })
}

// RetryQuarantined is [Client.RetryQuarantined].
func (r Resolver) RetryQuarantined(ctx context.Context, seqs ...uint64) error {
	return r.do(func(c *Client) error { return c.RetryQuarantined(ctx, seqs...) })
}

// Waiting is [Client.Waiting].
func (r Resolver) Waiting(ctx context.Context, after uint64, limit int) ([]outbox.Waiting, error) {
	return of(r, func(c *Client) ([]outbox.Waiting, error) { return c.Waiting(ctx, after, limit) })
}

// RetryWaiting is [Client.RetryWaiting].
func (r Resolver) RetryWaiting(ctx context.Context, keys ...string) (int, error) {
	return of(r, func(c *Client) (int, error) { return c.RetryWaiting(ctx, keys...) })
}

// DeleteWaiting is [Client.DeleteWaiting].
func (r Resolver) DeleteWaiting(ctx context.Context, seqs ...uint64) (sent []uint64, err error) {
	return of(r, func(c *Client) ([]uint64, error) { return c.DeleteWaiting(ctx, seqs...) })
}

// Delayed is [Client.Delayed].
func (r Resolver) Delayed(ctx context.Context, after *outbox.Entry, limit int) ([]*outbox.Entry, error) {
	return of(r, func(c *Client) ([]*outbox.Entry, error) { return c.Delayed(ctx, after, limit) })
}

// CancelDelayed is [Client.CancelDelayed].
func (r Resolver) CancelDelayed(ctx context.Context, ids ...string) (int, error) {
	return of(r, func(c *Client) (int, error) { return c.CancelDelayed(ctx, ids...) })
}

// DeleteQuarantined is [Client.DeleteQuarantined].
func (r Resolver) DeleteQuarantined(ctx context.Context, seqs ...uint64) error {
	return r.do(func(c *Client) error { return c.DeleteQuarantined(ctx, seqs...) })
}

// Retained is [Client.Retained].
func (r Resolver) Retained(ctx context.Context, q event.RetainedQuery) (event.RetainedPage, error) {
	return of(r, func(c *Client) (event.RetainedPage, error) { return c.Retained(ctx, q) })
}

// ClearRetained is [Client.ClearRetained].
func (r Resolver) ClearRetained(ctx context.Context, topic string) error {
	return r.do(func(c *Client) error { return c.ClearRetained(ctx, topic) })
}

// Pause is [Client.Pause].
func (r Resolver) Pause(ctx context.Context, name string, opts ...event.PauseOption) error {
	return r.do(func(c *Client) error { return c.Pause(ctx, name, opts...) })
}

// Resume is [Client.Resume].
func (r Resolver) Resume(ctx context.Context, name string) error {
	return r.do(func(c *Client) error { return c.Resume(ctx, name) })
}

// Subscriptions is [Client.Subscriptions]; nil after an error of the options.
func (r Resolver) Subscriptions() []event.SubscriptionPause {
	all, _ := of(r, func(c *Client) ([]event.SubscriptionPause, error) { return c.Subscriptions(), nil })
	return all
}

// ConfirmSubscriptions is [Client.ConfirmSubscriptions].
func (r Resolver) ConfirmSubscriptions(ctx context.Context) error {
	return r.do(func(c *Client) error { return c.ConfirmSubscriptions(ctx) })
}

// Subscribes is [Client.Subscribes]; false after an error of the options.
func (r Resolver) Subscribes(topic string) bool {
	c, err := r()
	return err == nil && c.Subscribes(topic)
}

// WaitReady is [Client.WaitReady].
func (r Resolver) WaitReady(ctx context.Context) error {
	if ctx == nil {
		return BadRequest("connect", "", "context is nil")
	}
	return r.do(func(c *Client) error { return c.WaitReady(ctx) })
}

// Health is [Client.Health]; after an error of the options it has that error.
func (r Resolver) Health() event.Health {
	c, err := r()
	if err != nil {
		return event.Health{LastError: err}
	}
	return c.Health()
}

// Filters is [Client.Filters]; nil after an error of the options.
func (r Resolver) Filters() []event.FilterHealth {
	all, _ := of(r, func(c *Client) ([]event.FilterHealth, error) { return c.Filters(), nil })
	return all
}

func (r Resolver) do(f func(*Client) error) error {
	c, err := r()
	if err != nil {
		return err
	}
	return f(c)
}

// of returns a result of the client.
func of[T any](r Resolver, f func(*Client) (T, error)) (T, error) {
	c, err := r()
	if err != nil {
		var none T
		return none, err
	}
	return f(c)
}
