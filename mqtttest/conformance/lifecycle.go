package conformance

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/tx7do/kratos-transport/broker"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// disconnectKeepsSubscriptions checks that subscriptions work again after Connect.
func (c *suite) disconnectKeepsSubscriptions(t *testing.T) {
	p := c.pair(t)
	var in inbox
	p.subscribe(p.topic, in.handle)
	var want []string
	for round := range 3 {
		more := bodies(fmt.Sprint(round, "-"), 5)
		want = append(want, more...)
		p.publish(p.topic, more)
		p.expect(&in, want)
		p.reconnect()
		if err := p.pub.Disconnect(); err != nil {
			t.Fatal(err)
		}
		if err := p.pub.Connect(); err != nil {
			t.Fatal(err)
		}
	}
}

// messagesWhileAway checks that messages wait for a disconnected subscriber.
func (c *suite) messagesWhileAway(t *testing.T) {
	p := c.pair(t)
	var in inbox
	p.subscribe(p.topic, in.handle)
	p.publish(p.topic, []string{"here"})
	p.expect(&in, []string{"here"})
	if err := p.sub.Disconnect(); err != nil {
		t.Fatal(err)
	}
	away := bodies("away ", 15)
	p.publish(p.topic, away)
	if got := in.bodies(); len(got) != 1 {
		t.Errorf("handled while disconnected: %q", got)
	}
	if err := p.sub.Connect(); err != nil {
		t.Fatal(err)
	}
	p.expect(&in, append([]string{"here"}, away...))
}

// publishAfterDisconnect checks that it fails soon.
func (c *suite) publishAfterDisconnect(t *testing.T) {
	p := c.pair(t)
	if err := p.pub.Disconnect(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := c.bounded(func() error { return p.pub.Publish(ctx, p.topic, broker.NewMessage([]byte("x"))) }); err == nil {
		t.Error("a message published after Disconnect is accepted")
	} else if errors.Is(err, errStuck) {
		t.Error(err)
	}
}

// publishHonoursContext checks that a publish with an ended context fails.
func (c *suite) publishHonoursContext(t *testing.T) {
	p := c.pair(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.bounded(func() error { return p.pub.Publish(ctx, p.topic, broker.NewMessage([]byte("x"))) }); !errors.Is(err, context.Canceled) {
		t.Errorf("publish with a cancelled context: %v", err)
	}
	p.publish(p.topic, []string{"it still works"})
}

// badTopics checks that an invalid topic fails the call but not the connection.
func (c *suite) badTopics(t *testing.T) {
	p := c.pair(t)
	var in inbox
	p.subscribe(p.topic, in.handle)
	for _, topic := range []string{"", "a/+/b", "a/#", "a\x00b", "\xff"} {
		if err := c.bounded(func() error { return p.pub.Publish(p.within(), topic, broker.NewMessage([]byte("x"))) }); err == nil {
			t.Errorf("published to %q", topic)
		}
	}
	for _, filter := range []string{"", "a/#/b", "a+", "a\x00b", "\xff"} {
		err := c.bounded(func() error {
			_, err := p.sub.Subscribe(filter, in.handle, nil)
			return err
		})
		if err == nil {
			t.Errorf("subscribed to %q", filter)
		}
	}
	p.publish(p.topic, []string{"it still works"})
	p.expect(&in, []string{"it still works"})
}

// nilArguments checks that they cause errors, not panics, and that nil options are ignored.
func (c *suite) nilArguments(t *testing.T) {
	p := c.pair(t)
	var in inbox
	p.subscribe(p.topic, in.handle, nil)
	var noContext context.Context
	wrong := map[string]func() error{
		"publish nil":                  func() error { return p.pub.Publish(p.within(), p.topic, nil) },
		"publish without a context":    func() error { return p.pub.Publish(noContext, p.topic, broker.NewMessage([]byte("x"))) },
		"subscribe without a handler":  func() error { _, err := p.sub.Subscribe(p.topic, nil, nil); return err },
		"request nil":                  func() error { _, err := p.pub.Request(p.within(), p.topic, nil); return err },
		"request without a context":    func() error { _, err := p.pub.Request(noContext, p.topic, broker.NewMessage([]byte("x"))); return err },
		"publish what cannot be coded": func() error { return p.pub.Publish(p.within(), p.topic, broker.NewMessage(make(chan int))) },
	}
	for name, call := range wrong {
		if err := c.bounded(call); err == nil {
			t.Errorf("%s: no error", name)
		} else if errors.As(err, new(panicError)) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := c.bounded(func() error {
		return p.pub.Publish(p.within(), p.topic, broker.NewMessage([]byte("fine")), nil)
	}); err != nil {
		t.Errorf("publish with a nil option: %v", err)
	}
	p.expect(&in, []string{"fine"})
}

// nothingLostOverCuts checks that every message for which Publish returned nil is handled,
// however often the connections break.
func (c *suite) nothingLostOverCuts(t *testing.T) {
	p := c.pair(t)
	const publishers, messages, cuts = 4, 100, 12
	rec := mqtttest.NewRecorder()
	p.subscribe(p.topic+"/+", func(_ context.Context, e broker.Event) error {
		rec.Handled(string(e.Message().BodyBytes()))
		return nil
	})
	var wg sync.WaitGroup
	for n := range publishers {
		wg.Go(func() {
			for _, body := range bodies(fmt.Sprint(n, "-"), messages) {
				rec.Attempted(body)
				ctx, cancel := context.WithTimeout(context.Background(), c.patience)
				if p.pub.Publish(ctx, fmt.Sprint(p.topic, "/", n), broker.NewMessage([]byte(body))) == nil {
					rec.Accepted(body)
				}
				cancel()
			}
		})
	}
	for i := range cuts {
		p.eventually(func() error {
			if n := rec.Report().Accepted; n < i*publishers*messages/(2*cuts) {
				return fmt.Errorf("%d accepted", n)
			}
			return nil
		})
		c.cut()
	}
	wg.Wait()
	p.eventually(func() error { return rec.Report().Err() })
	if r := rec.Report(); r.Accepted < publishers*messages/2 {
		t.Errorf("hardly anything was accepted: %v", r)
	}
}

var errStuck = errors.New("the call does not return")

// panicError is a panic of the called function.
type panicError struct{ value any }

func (p panicError) Error() string { return fmt.Sprintf("panic: %v", p.value) }

// bounded calls f and returns an error if it does not return in time or panics.
func (c *suite) bounded(f func() error) error {
	result := make(chan error, 1)
	go func() {
		defer func() {
			if v := recover(); v != nil {
				result <- panicError{v}
			}
		}()
		result <- f()
	}()
	late := time.NewTimer(c.patience)
	defer late.Stop()
	select {
	case err := <-result:
		return err
	case <-late.C:
		return errStuck
	}
}
