package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/envelope"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// putMany puts n letters of so many bytes, many at a time.
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

// More letters than Mosquitto queues for a client as it is installed are
// counted, listed and replayed. stores.md 5.
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

// Retained letters have a bound, as those of other stores.
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
	if n, err := deadletter.Drop(within(t, patience), s); n != 3 || err != nil {
		t.Errorf("%d dropped, %v", n, err)
	}
	if err := s.Put(within(t, patience), l); err != nil {
		t.Error(err)
	}
}

// A read keeps no more in memory than it may, and loses nothing by that.
func TestRetainedPagesAreBounded(t *testing.T) {
	t.Parallel()
	const letters = 200
	p := newLetterPage("p/", deadletter.Query{}, false)
	p.check.ours = func(string) bool { return true }
	for i := range letters {
		n := (i * 7) % letters // not in order
		l := &deadletter.Letter{ID: numbered(n), State: deadletter.Dead}
		l.Topic, l.Payload = "t", make([]byte, 1<<20)
		m, err := deadletter.Encode(l, true)
		if err != nil {
			t.Fatal(err)
		}
		out := envelope.Outgoing(m)
		err = p.keep(&Inbound{Topic: "p/" + part(l.ID) + "/" + l.ID, Payload: out.Payload, Properties: out.Properties, Retain: true})
		if err != nil {
			t.Fatal(err)
		}
		if p.bytes > readAhead+2<<20 {
			t.Fatalf("%d bytes are kept", p.bytes)
		}
	}
	p.done()
	if p.count != letters || !p.cut || len(p.sorted) < 20 || p.sorted[0].ID != numbered(0) || p.sorted[len(p.sorted)-1].ID != numbered(len(p.sorted)-1) {
		t.Errorf("%d counted, %d kept", p.count, len(p.sorted))
	}
	if p.follows(deadletter.Query{After: numbered(25), Limit: 100}) || !p.follows(deadletter.Query{After: numbered(9), Limit: 5}) {
		t.Error("pages beyond what is kept, or within")
	}
}

// Letters are counted in full, or the count is an error: 2,000 of 20 kB are more
// than what Mosquitto queues and sockets hold.
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

// More letters in one part than a broker may send in one go are an error beside
// what came, and the message of a self-test is no letter.
func TestIncompletePart(t *testing.T) {
	t.Parallel()
	p := newLetterPage("p/", deadletter.Query{}, false)
	p.check.ours = func(string) bool { return true }
	keep := func(topic string) {
		if err := p.keep(&Inbound{Topic: topic, Payload: make([]byte, 2000), Retain: true}); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		p.next()
		for i := range safeCount {
			keep(fmt.Sprintf("p/aa/%04daa", i)) // also where no letter belongs
		}
	}
	keep("p/check/retained/1")
	keep("p/ab/1aa/deeper")
	if err := p.incomplete(); err != nil || p.count != 2*safeCount {
		t.Errorf("%d, %v", p.count, err)
	}
	keep("p/aa/1aa")
	if err := p.incomplete(); !errors.Is(err, deadletter.ErrIncomplete) {
		t.Errorf("%v", err)
	}
	once := newLetterPage("p/", deadletter.Query{}, true)
	once.check = p.check
	var err error
	for range safeCount {
		err = cmp.Or(err, once.keep(&Inbound{Topic: "p/aa/1aa", Payload: make([]byte, 2000), Retain: true}))
	}
	if !errors.Is(err, errMany) {
		t.Errorf("%v", err)
	}
}
