package client

import (
	"context"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/queue"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
)

// events logs what happens to the connections and calls the user's hooks, on a goroutine of
// its own, because sessions must not wait for either.
type events struct {
	cfg     *Config
	log     logsafe.Log
	calls   *callbacks
	granted func() // checks what the broker does not support
	left    *leftovers
	outages outages // used by the goroutine of events only
	queue   *queue.Queue[notice]
}

type notice struct {
	call  func() // called instead of an event
	event session.Event
	main  bool // the event is of the connection that the hooks follow
}

func (e *events) add(ev session.Event, main bool) {
	if closed, ok := ev.(session.Closed); ok {
		e.left.closed(closed)
		return
	}
	e.queue.Add(notice{event: ev, main: main})
}

// do calls f on the goroutine of the events.
func (e *events) do(f func()) { e.queue.Add(notice{call: f}) }

// work processes a batch of events.
func (e *events) work(batch []notice) {
	for _, n := range batch {
		if n.call != nil {
			n.call()
			continue
		}
		e.report(n)
		e.callHooks(n.event)
	}
}

// reportGrace is how long the last reports may take after the context has ended, because
// they have what was not finished.
const reportGrace = 100 * time.Millisecond

// wait returns when everything is reported, or soon after ctx ends: a hook may be slow, or
// may have called Stop itself.
func (e *events) wait(ctx context.Context) { e.queue.Wait(ctx, reportGrace) }

// report logs an event.
func (e *events) report(n notice) {
	switch ev := n.event.(type) {
	case session.Connected:
		fields := []any{logsafe.KeyClientID, ev.ClientID, logsafe.KeyAddress, ev.Address, logsafe.KeyPresent, ev.SessionPresent}
		if took, attempts := e.outages.ended(ev.ClientID); attempts > 0 {
			fields = append(fields, logsafe.KeyAttempts, attempts, logsafe.KeyDuration, took)
		}
		e.log.Info("mqtt: connected", fields...)
		if n.main && e.cfg.OnConnect != nil {
			e.calls.call(e.cfg.OnConnect)
		}
	case session.Subscribed:
		e.granted()
		e.log.Info("mqtt: topic filters granted", logsafe.KeyClientID, ev.ClientID, logsafe.KeyCount, ev.Filters)
	case session.ConnectFailed:
		write := e.log.Debug
		if e.outages.failed(ev) {
			write = e.log.Warn
		}
		// Without a pause the next address is tried.
		write("mqtt: cannot connect", logsafe.KeyClientID, ev.ClientID, logsafe.KeyAddress, ev.Address,
			logsafe.KeyRetryIn, ev.RetryIn, logsafe.KeyError, addressedError{ev.Err, ev.Address})
	case session.ConnectionLost:
		e.outages.lost(ev.Loss.ClientID)
		e.log.Warn("mqtt: connection lost", lossFields(ev.Loss, ev.RetryIn, ev.Err)...)
		e.lost(n.main, ev.Err)
	case session.TakenOver:
		e.outages.lost(ev.Loss.ClientID)
		e.log.Error("mqtt: connection lost", lossFields(ev.Loss, ev.RetryIn, ev.Err)...)
		e.lost(n.main, ev.Err)
	case session.Reauthenticated:
		e.log.Debug("mqtt: authenticated again", logsafe.KeyClientID, ev.ClientID)
	case session.ReauthenticationFailed:
		e.log.Warn("mqtt: no new credentials", logsafe.KeyClientID, ev.ClientID, logsafe.KeyRetryIn, ev.RetryIn, logsafe.KeyError, logsafe.Error(ev.Err))
	case session.Renewed:
		e.log.Info("mqtt: disconnected to connect with the new credentials", logsafe.KeyClientID, ev.ClientID, logsafe.KeyAddress, ev.Address)
	case session.ExpiryReduced:
		e.log.Warn("mqtt: the broker keeps a session for a shorter time than requested: messages published in a longer outage are lost",
			logsafe.KeyClientID, ev.ClientID, logsafe.KeyDuration, ev.Granted, logsafe.KeyAsked, ev.Wanted)
	case session.Forgotten:
		e.log.Warn("mqtt: the broker lost the session: messages published meanwhile are gone, and unfinished publishes have an unknown outcome",
			logsafe.KeyClientID, ev.ClientID, logsafe.KeyCount, ev.Unfinished)
	case session.SubscriptionRefused:
		e.log.Error("mqtt: a topic filter is not granted", logsafe.KeyFilter, ev.Filter, logsafe.KeyError, ev.Err)
	case session.SubscriptionLowered:
		e.log.Warn("mqtt: a topic filter is granted at a lower QoS: its messages arrive at that level, and the client is not ready",
			logsafe.KeyFilter, ev.Filter, logsafe.KeyQoS, ev.Granted, logsafe.KeyAsked, ev.Asked)
	case session.CallbackPanicked:
		e.calls.panicked("mqtt: a "+ev.What+" callback panicked", ev.Value, ev.Stack)
	}
}

func lossFields(l *event.LossError, retryIn time.Duration, err error) []any {
	return []any{
		logsafe.KeyClientID, l.ClientID, logsafe.KeyAddress, l.Address, logsafe.KeyLoss, string(event.LossKindOf(err)),
		logsafe.KeyRetryIn, retryIn, logsafe.KeyError, err,
	}
}

// lost calls the user's function for a loss of the main connection.
func (e *events) lost(main bool, err error) {
	if main && e.cfg.OnDisconnect != nil {
		e.calls.call(func() { e.cfg.OnDisconnect(err) })
	}
}

// callHooks calls the hooks for connections.
func (e *events) callHooks(ev session.Event) {
	h := &e.cfg.Hooks
	switch ev := ev.(type) {
	case session.Connected:
		callHook(e.calls, h.Connected, event.ConnectAttemptInfo{ClientID: ev.ClientID, Address: ev.Address, SessionPresent: ev.SessionPresent})
	case session.ConnectFailed:
		callHook(e.calls, h.Connected, event.ConnectAttemptInfo{ClientID: ev.ClientID, Address: ev.Address, Err: ErrorOf("connect", "", ev.Err)})
	case session.ConnectionLost:
		callHook(e.calls, h.Disconnected, lossOf(ev.Loss, ev.Err))
	case session.TakenOver:
		callHook(e.calls, h.Disconnected, lossOf(ev.Loss, ev.Err))
	case session.Forgotten:
		callHook(e.calls, h.SessionLost, event.SessionLostInfo{ClientID: ev.ClientID, Unfinished: ev.Unfinished})
	case session.Subscribed:
		callHook(e.calls, h.Subscribed, event.SubscribeInfo{Granted: ev.Filters})
	case session.SubscriptionRefused:
		callHook(e.calls, h.Subscribed, event.SubscribeInfo{Filter: ev.Filter, Err: ErrorOf("subscribe", ev.Filter, ev.Err)})
	case session.SubscriptionLowered:
		callHook(e.calls, h.Subscribed, event.SubscribeInfo{
			Filter: ev.Filter, AskedQoS: ev.Asked, GrantedQoS: ev.Granted, Err: ErrorOf("subscribe", ev.Filter, ev.Err()),
		})
	}
}

func lossOf(l *event.LossError, err error) event.ConnectionLostInfo {
	return event.ConnectionLostInfo{ClientID: l.ClientID, Address: l.Address, Kind: event.LossKindOf(err), Err: ErrorOf("connect", "", err)}
}
