package session

import (
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// frameOf returns a PUBLISH as it is stored in the window.
func frameOf(m *Message) []byte {
	topic := []byte(m.Topic)
	return append(append([]byte{0x30 | m.flags(), byte(2 + len(topic) + 2), 0, byte(len(topic))}, topic...), 0x80, 0)
}

// kindsTest is a kinds with helpers for topics.
type kindsTest struct{ kinds }

func (k *kindsTest) convict(m *Message) {
	l := &event.LossError{Kind: event.LossPublish, Cause: io.EOF}
	k.kinds.convict(frameOf(m), convicted(opPublish, "", l), time.Now())
}

func (k *kindsTest) take(m *Message) { k.taken(&slot{qos: m.QoS, frame: frameOf(m)}) }

func (k *kindsTest) held(t *testing.T, m *Message) time.Duration {
	t.Helper()
	err := k.refuse(m, time.Now())
	if err == nil {
		return 0
	}
	var e *event.Error
	if !errors.As(err, &e) || e.Reason != event.ReasonRefused || e.MayHaveBeenSent || e.RetryAfter <= 0 || e.Topic != m.Topic || event.LossKindOf(err) != event.LossPublish {
		t.Errorf("%+v", err)
	}
	return e.RetryAfter
}

func at1(topic string) *Message { return &Message{Topic: topic, QoS: 1} }

// The second consecutive conviction holds a topic for a pause that doubles. No
// other message of the client is held, and an acknowledged message releases the
// topic.
func TestTopicIsHeldAfterTwoConvictions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var k kindsTest
		bad := at1("a/bad")
		k.convict(bad)
		if k.held(t, bad) > 0 {
			t.Fatal("held after one conviction")
		}
		k.take(bad)
		k.convict(bad)
		if k.held(t, bad) > 0 {
			t.Fatal("held although one was taken in between")
		}
		k.convict(bad)
		for want := firstHold; ; want = min(2*want, longestHold) {
			if got := k.held(t, bad); got != want {
				t.Fatalf("held for %v, want %v", got, want)
			}
			for _, m := range []*Message{at1("a/good"), at1("bad"), {Topic: "a/bad", QoS: 2}, {Topic: "a/bad", QoS: 1, Retain: true}, {Topic: "a/bad"}} {
				if k.held(t, m) > 0 || k.try(m) != 0 {
					t.Fatalf("%+v is held", m)
				}
			}
			<-time.After(want)
			if k.held(t, bad) > 0 || k.try(bad) != weightOfKind {
				t.Fatalf("held after %v", want)
			}
			if k.held(t, bad) != want {
				t.Fatal("two are let through")
			}
			k.convict(bad)
			if want == longestHold {
				break
			}
		}
		k.take(bad)
		if k.held(t, bad) > 0 || len(k.known) != 0 {
			t.Errorf("held after one was taken, %d known", len(k.known))
		}
	})
}

// Three convicted topics that differ in one level hold all topics that differ
// in the same level, without convicting them. An acknowledged message to one of
// these topics releases them.
func TestTopicsThatDifferInALevelAreHeld(t *testing.T) {
	t.Parallel()
	for _, form := range []string{"forbidden/%d", "%d/forbidden", "a/%d/b", "%d"} {
		var k kindsTest
		topic := func(n int) *Message { return at1(fmt.Sprintf(form, n)) }
		k.convict(topic(1))
		k.convict(topic(2))
		k.convict(topic(2)) // differs from all three
		if k.held(t, topic(4)) > 0 {
			t.Errorf("%s: held after two topics", form)
		}
		k.convict(topic(3))
		var e *event.Error
		if err := k.refuse(topic(4), time.Now()); !errors.As(err, &e) || e.Convicted || e.RetryAfter <= 0 {
			t.Errorf("%s: %v", form, err)
		}
		if k.held(t, at1("free/1/2")) > 0 {
			t.Errorf("%s: holds another topic", form)
		}
		k.take(topic(5))
		if k.held(t, topic(4)) > 0 {
			t.Errorf("%s: held after one of them was taken", form)
		}
	}
}

func TestKindsAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var k kindsTest
		k.convict(at1("first"))
		for n := range maxKinds {
			<-time.After(time.Millisecond)
			k.convict(at1(fmt.Sprintf("%d/a/b/c/d/e/f/g/h/i/j/k", n)))
		}
		if len(k.known) > maxKinds {
			t.Errorf("%d known", len(k.known))
		}
		if keys, n := k.keys([]byte("first"), 2); n != 2 || k.known[keys[0]] != nil {
			t.Error("the oldest is still there")
		}
	})
}

// Messages in the window with the topic of the second convicted message fail
// together with it, and no others do.
func TestConvictedTopicTakesItsOthersAlong(t *testing.T) {
	t.Parallel()
	s := direct(t)
	v := newSupervisor(s)
	publish := func(topic string, qos byte) *outcomes {
		o := new(outcomes)
		if err := publishAsync(within(t, patience), s, &Message{Topic: topic, QoS: qos}, o.add); err != nil {
			t.Fatal(err)
		}
		return o
	}
	c, _ := attached(t, s, true)
	var bad []*outcomes
	for range 10 {
		bad = append(bad, publish("bad", 1))
	}
	good, other := publish("good", 1), publish("bad", 2)
	for range 2 * (1 + enoughWeight/weightInOrder) {
		closes(t, v, c)
		c, _ = attached(t, s, true)
	}
	for _, o := range bad {
		if e := asError(t, o.wait(t, 1)[0], event.ReasonRefused); !e.Convicted || e.RetryAfter > 0 {
			t.Errorf("%+v", e)
		}
	}
	if err := s.Publish(within(t, patience), at1("bad")); asError(t, err, event.ReasonRefused).RetryAfter <= 0 {
		t.Error(err)
	}
	if len(good.all())+len(other.all()) > 0 {
		t.Error(good.all(), other.all())
	}
}
