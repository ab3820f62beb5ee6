package conformance

import (
	"errors"
	"fmt"
	"testing"
)

var errOnPurpose = errors.New("fails on purpose")

// errorIsRetried checks that a message whose handler failed is handled again, and delays later
// messages no longer than that.
func (c *suite) errorIsRetried(t *testing.T) {
	c.retried(t, func() error { return errOnPurpose })
}

// panicIsRetried checks that a panic counts as an error of that message and affects nothing
// else.
func (c *suite) panicIsRetried(t *testing.T) {
	c.retried(t, func() error { panic(errOnPurpose) }) //nolint:forbidigo // the case
}

func (c *suite) retried(t *testing.T, fail func() error) {
	p := c.pair(t)
	var in inbox
	f := &failing{next: in.handle}
	f.on.Store(true)
	f.fail = func() error { f.on.Store(false); return fail() }
	p.subscribe(p.topic, f.handle)
	want := bodies("", 5)
	p.publish(p.topic, want)
	p.expect(&in, want)
	if n := f.count.Load(); n != 1 {
		t.Errorf("failed %d times", n)
	}
}

// ackWaitsForHandler checks that Disconnect does not wait for a handler that blocks, and that
// its message is delivered again on the next connection.
func (c *suite) ackWaitsForHandler(t *testing.T) {
	p := c.pair(t)
	var in inbox
	started, release := make(chan struct{}, 100), make(chan struct{})
	defer close(release)
	f := &failing{next: in.handle}
	f.on.Store(true)
	f.fail = func() error {
		started <- struct{}{}
		<-release
		return errOnPurpose
	}
	p.subscribe(p.topic, f.handle)
	p.publish(p.topic, []string{"kept"})
	select {
	case <-started:
	case <-p.within().Done():
		t.Fatal("the handler was not called")
	}
	f.on.Store(false)
	if err := c.bounded(p.sub.Disconnect); errors.Is(err, errStuck) {
		t.Fatal("Disconnect waits for the handler for ever")
	}
	if err := p.sub.Connect(); err != nil {
		t.Fatal(err)
	}
	p.eventually(func() error {
		if n := len(in.all()); n == 0 {
			return errors.New("the message was acknowledged before its handler returned nil: it is lost")
		}
		return nil
	})
}

// ackedIsDone checks that a handled message is not delivered again.
func (c *suite) ackedIsDone(t *testing.T) {
	p := c.pair(t)
	var in inbox
	p.subscribe(p.topic, in.handle)
	want := bodies("", 10)
	p.publish(p.topic, want)
	p.expect(&in, want)
	p.reconnect()
	p.publish(p.topic, []string{"last"})
	p.expect(&in, append(want, "last"))
}

// reconnect disconnects the subscriber and connects it again.
func (p *pair) reconnect() {
	p.t.Helper()
	if err := p.sub.Disconnect(); err != nil {
		p.t.Fatalf("disconnect: %v", err)
	}
	if err := p.sub.Connect(); err != nil {
		p.t.Fatalf("connect again: %v", err)
	}
}

// unsubscribe checks that it ends one subscription only.
func (c *suite) unsubscribe(t *testing.T) {
	p := c.pair(t)
	var gone, stays inbox
	s := p.subscribe(p.topic+"/a", gone.handle)
	p.subscribe(p.topic+"/b", stays.handle)
	if got := s.Topic(); got != p.topic+"/a" {
		t.Errorf("Topic() is %q", got)
	}
	p.publish(p.topic+"/a", []string{"one"})
	p.expect(&gone, []string{"one"})
	if err := s.Unsubscribe(true); err != nil {
		t.Fatal(err)
	}
	p.publish(p.topic+"/a", []string{"two"})
	p.publish(p.topic+"/b", []string{"three"})
	p.expect(&stays, []string{"three"})
	p.reconnect() // it does not come back either
	p.publish(p.topic+"/a", []string{"four"})
	p.publish(p.topic+"/b", []string{"five"})
	p.expect(&stays, []string{"three", "five"})
	p.settle()
	p.expect(&gone, []string{"one"})
}

// twoHandlers checks that two handlers of one filter both receive every message.
func (c *suite) twoHandlers(t *testing.T) {
	p := c.pair(t)
	var one, two inbox
	p.subscribe(p.topic, one.handle)
	s := p.subscribe(p.topic, two.handle)
	want := bodies("", 10)
	p.publish(p.topic, want)
	p.expect(&one, want)
	p.expect(&two, want)
	if err := s.Unsubscribe(true); err != nil {
		t.Fatal(err)
	}
	p.publish(p.topic, []string{"last"})
	p.expect(&one, append(want, "last"))
	p.expect(&two, want)
}

// describes checks the methods that describe the broker.
func (c *suite) describes(t *testing.T) {
	pub, sub := c.newPair(t)
	if pub.Name() == "" || pub.Name() != sub.Name() {
		t.Errorf("names %q and %q", pub.Name(), sub.Name())
	}
	if pub.Address() == "" {
		t.Error("no address")
	}
	if len(pub.Options().Addrs) == 0 {
		t.Error("no addresses in the options")
	}
	steps := []struct {
		name string
		call func() error
	}{
		{"Init without options", func() error { return pub.Init() }},
		{"Disconnect before Connect", pub.Disconnect},
		{"Connect", pub.Connect},
		{"Connect again", pub.Connect},
		{"Disconnect", pub.Disconnect},
		{"Disconnect again", pub.Disconnect},
	}
	for _, step := range steps {
		if err := step.call(); err != nil {
			t.Error(fmt.Errorf("%s: %w", step.name, err))
		}
	}
}
