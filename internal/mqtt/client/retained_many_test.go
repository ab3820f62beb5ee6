package client

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// putMany stores n letters of a size, many at a time.
func putMany(t *testing.T, s deadletter.Store, n, size int) {
	t.Helper()
	var ids deadletter.IDs
	errs := make(chan error, n)
	slots := make(chan struct{}, 64)
	for i := range n {
		id, err := ids.New()
		if err != nil {
			t.Fatal(err)
		}
		l := &deadletter.Letter{ID: id, State: deadletter.Dead, Reason: "bad", Filter: "work/+", Service: "shop"}
		l.Topic, l.Payload, l.QoS = fmt.Sprint("work/", i), []byte(strings.Repeat("x", size)), 1
		slots <- struct{}{}
		go func() {
			defer func() { <-slots }()
			errs <- s.Put(within(t, patience), l)
		}()
	}
	for range n {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
}

// More letters than Mosquitto queues by default are counted, listed and replayed.
func TestManyRetainedLetters(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(t *testing.T, version option) {
		const letters = 3000
		b := mqtttest.Mosquitto(t, mqtttest.WithConfig("max_queued_messages 1000"))
		c := running(t, client(t, b.URL(), version), on("work/+", idle))
		s := c.DeadLetters()
		putMany(t, s, letters, 1000)
		if st, err := s.Stats(within(t, patience)); err != nil || st.Dead != letters {
			t.Fatalf("%+v, %v", st, err)
		}
		var last string
		for n := 0; ; {
			page, err := s.List(within(t, patience), deadletter.Query{After: last})
			if err != nil {
				t.Fatal(err)
			}
			if n += len(page); len(page) == 0 {
				if n != letters {
					t.Errorf("%d letters are listed", n)
				}
				break
			}
			for _, l := range page {
				if l.ID <= last || len(l.Payload) != 1000 {
					t.Fatalf("%s after %s, %d bytes", l.ID, last, len(l.Payload))
				}
				last = l.ID
			}
		}
		var replayed atomic.Int64
		n, err := deadletter.Replay(within(t, 2*patience), s, func(context.Context, *deadletter.Letter) error { replayed.Add(1); return nil })
		if n != letters || replayed.Load() != letters || err != nil {
			t.Errorf("%d replayed, %d published, %v", n, replayed.Load(), err)
		}
		if st, err := s.Stats(within(t, patience)); err != nil || st.Dead != 0 {
			t.Errorf("%+v, %v", st, err)
		}
	})
}

// Retained letters are bounded like those of other stores.
func TestRetainedLettersAreFull(t *testing.T) {
	t.Parallel()
	b := mqtttest.Mosquitto(t)
	other := running(t, client(t, b.URL(), func(c *Config) { c.ClientID = "other" }))
	putMany(t, other.DeadLetters(), 2, 1000)
	c := running(t, client(t, b.URL(), func(c *Config) { c.MaxLetters, c.LetterShare = 3, 1 }), on("work/+", idle))
	s := c.DeadLetters()
	putMany(t, s, 1, 1000)
	l := &deadletter.Letter{ID: numbered(1), State: deadletter.Dead}
	l.Topic = "t"
	if err := s.Put(within(t, patience), l); !errors.Is(err, deadletter.ErrFull) {
		t.Errorf("%v", err)
	}
	if st, err := s.Stats(within(t, patience)); err != nil || st.Dead != 3 || st.Max != 3 {
		t.Errorf("%+v, %v", st, err)
	}
	if n, err := deadletter.Delete(within(t, patience), s); n != 3 || err != nil {
		t.Errorf("%d dropped, %v", n, err)
	}
	if err := s.Put(within(t, patience), l); err != nil {
		t.Error(err)
	}
}

// Either all letters are counted or the count fails: 2,000 letters of 20 kB exceed what
// Mosquitto queues and sockets hold.
func TestManyLargeRetainedLetters(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(t *testing.T, version option) {
		const letters = 2000
		b := mqtttest.Mosquitto(t, mqtttest.WithConfig("max_queued_messages 1000"))
		c := running(t, client(t, b.URL(), version), on("work/+", idle))
		s := c.DeadLetters()
		putMany(t, s, letters, 20_000)
		if st, err := s.Stats(within(t, 4*patience)); err != nil || st.Dead != letters {
			t.Errorf("%+v, %v", st, err)
		}
		n, err := deadletter.Replay(within(t, 6*patience), s, func(context.Context, *deadletter.Letter) error { return nil })
		if n != letters || err != nil {
			t.Errorf("%d replayed, %v", n, err)
		}
	})
}
