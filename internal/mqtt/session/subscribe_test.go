package session

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// diary records what a scripted broker received, one line each.
type diary struct {
	mu    sync.Mutex
	lines []string
}

func (d *diary) add(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, fmt.Sprintf(format, args...))
}

func (d *diary) all() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.lines)
}

func (d *diary) wait(t testing.TB, line string) {
	t.Helper()
	mqtttest.Eventually(t, patience, func() error {
		if list := d.all(); !slices.Contains(list, line) {
			return fmt.Errorf("no %q in %v", line, list)
		}
		return nil
	})
}

func (d *diary) count(line string) (n int) {
	for _, l := range d.all() {
		if l == line {
			n++
		}
	}
	return n
}

// keeping is a broker that records subscriptions, refuses filters that start
// with "no", and does not answer for filters that start with "mute".
func (d *diary) keeping(p *peer) {
	for {
		packet, err := mqtttest.ReadPacket(p)
		if err != nil {
			return
		}
		switch packet.Type() {
		case mqtttest.TypeSubscribe:
			list := filtersOf(packet)
			slices.Sort(list)
			codes := make([]byte, 0, len(list))
			for i, f := range filtersOf(packet) {
				d.add("%d subscribe %s", p.n, f)
				code := levelsOf(packet)[i]
				if strings.HasPrefix(f, "no") {
					code = 0x80
				}
				codes = append(codes, code)
			}
			if !strings.HasPrefix(list[0], "mute") {
				p.send(mqtttest.SubackPacket(4, packet.ID(), codes...))
			}
		case mqtttest.TypeUnsubscribe:
			d.add("%d unsubscribe %s", p.n, filtersOf(packet)[0])
			p.send(ack(mqtttest.TypeUnsuback, packet.ID()))
		case mqtttest.TypePublish:
			if packet.Topic() == "cut" {
				p.reset()
				return
			}
		case mqtttest.TypeDisconnect:
			d.add("%d disconnect", p.n)
			return
		}
	}
}

// T17: the error of a refusal names filter and reason.
func TestT17_RefusedFilter(t *testing.T) {
	t.Parallel()
	var (
		d diary
		j journal
	)
	s := open(t, scripted(t, true, d.keeping), to(&j))
	want(t, s, "yes", "no/1", "no/2")
	s.Start()
	err := s.WaitAttempt(within(t, patience))
	asError(t, err, event.ReasonRefused)
	var code *CodeError
	if !errors.As(err, &code) || code.Packet != "SUBACK" || code.Code != 0x80 {
		t.Errorf("%v", err)
	}
	for _, part := range []string{`"no/1"`, `"no/2"`, "SUBACK 0x80"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not name %s", err, part)
		}
	}
	if e := waitEvent[SubscriptionRefused](t, &j, 2); e[0].Filter != "no/1" || e[1].Filter != "no/2" {
		t.Errorf("%+v", e)
	}
	if st := s.Status(); !st.Connected || st.Ready {
		t.Errorf("%+v", st)
	}
	// A filter that is refused for Subscribe is removed; one that was wanted
	// before stays.
	asError(t, s.Subscribe(within(t, patience), Filter{Filter: "no/3"}), event.ReasonRefused)
	_ = s.Unsubscribe(within(t, patience), "no/1")
	_ = s.Unsubscribe(within(t, patience), "no/2")
	mqtttest.Eventually(t, patience, func() bool { return s.Status().Ready })
	if err := s.Subscribe(within(t, patience), Filter{Filter: "later", QoS: 1}); err != nil {
		t.Error(err)
	}
}

// T34: the broker keeps subscriptions with the session, and requesting them
// again would bring retained messages twice.
func TestT34_ResubscribeOnlyWithoutTheSession(t *testing.T) {
	t.Parallel()
	for _, present := range []bool{true, false} {
		t.Run(fmt.Sprintf("present %t", present), func(t *testing.T) {
			t.Parallel()
			var (
				d diary
				j journal
			)
			s := open(t, scripted(t, present, d.keeping), to(&j))
			want(t, s, "a", "b")
			s.Start()
			ready(t, s)
			_ = s.Publish(t.Context(), &Message{Topic: "cut"})
			waitEvent[Connected](t, &j, 2)
			if err := s.Subscribe(within(t, patience), Filter{Filter: "c", QoS: 1}); err != nil {
				t.Fatal(err)
			}
			d.wait(t, "2 subscribe c")
			wanted := 0
			if !present {
				wanted = 1
			}
			for _, f := range []string{"a", "b"} {
				if n := d.count("1 subscribe " + f); n != 1 {
					t.Errorf("%s asked for %d times at first", f, n)
				}
				if n := d.count("2 subscribe " + f); n != wanted {
					t.Errorf("%s asked for %d times again, want %d", f, n, wanted)
				}
			}
			lost := len(eventsOf[Forgotten](&j))
			if present != (lost == 0) {
				t.Errorf("%d Forgotten events", lost)
			}
		})
	}
}

// A filter that was granted is refused after the broker has lost the session,
// whether it was wanted at the start or later. The session is then not ready
// and reports the reason until the filter is granted again.
func TestRefusedAfterTheSessionWasLost(t *testing.T) {
	t.Parallel()
	for _, later := range []bool{false, true} {
		t.Run(fmt.Sprintf("later %t", later), func(t *testing.T) {
			t.Parallel()
			var j journal
			proxy := mqtttest.NewProxy(t, scripted(t, false, func(p *peer) {
				p.codes = func(string) byte {
					if p.n == 2 {
						return 0x80
					}
					return 1
				}
				serveAll(p)
			}))
			s := open(t, proxy.URL(), to(&j))
			if !later {
				want(t, s, "a")
			}
			s.Start()
			ready(t, s)
			if later {
				if err := s.Subscribe(within(t, patience), Filter{Filter: "a", QoS: 1}); err != nil {
					t.Fatal(err)
				}
			}
			proxy.Cut()
			waitEvent[SubscriptionRefused](t, &j, 1)
			mqtttest.Eventually(t, patience, func() bool { return s.Status().LastError != nil })
			if st := s.Status(); st.Ready || event.ReasonOf(st.LastError) != event.ReasonRefused {
				t.Errorf("%+v", st)
			}
			proxy.Cut()
			waitEvent[Connected](t, &j, 3)
			ready(t, s)
		})
	}
}

func TestSubscribeAndUnsubscribeAtRunTime(t *testing.T) {
	t.Parallel()
	b := mqtttest.InProcess(t)
	s := start(t, b.URL())
	ctx := within(t, patience)
	publish := func(topic string) {
		t.Helper()
		if err := s.Publish(ctx, &Message{Topic: topic, QoS: 1}); err != nil {
			t.Fatal(err)
		}
	}
	in := s.cfg.Sink.(*box)
	publish("a")
	for range 2 { // already granted
		if err := s.Subscribe(ctx, Filter{Filter: "a", QoS: 1}); err != nil {
			t.Fatal(err)
		}
	}
	publish("a")
	in.wait(t, 1)
	if err := s.Unsubscribe(ctx, "a"); err != nil {
		t.Fatal(err)
	}
	if err := s.Unsubscribe(ctx, "never"); err != nil {
		t.Fatal(err)
	}
	publish("a")
	if err := s.Subscribe(ctx, Filter{Filter: "last", QoS: 1}); err != nil {
		t.Fatal(err)
	}
	publish("last")
	if got := in.wait(t, 2); len(got) != 2 || got[1].Topic != "last" {
		t.Errorf("%d messages", len(got))
	}
	asError(t, s.Subscribe(ctx, Filter{Filter: "a/#/b"}), event.ReasonBadTopic)
	asError(t, s.Subscribe(ctx, Filter{Filter: "a", QoS: 3}), event.ReasonBadRequest)
	nobody := open(t, b.URL(), into(nil))
	asError(t, nobody.Want(Filter{Filter: "a"}), event.ReasonBadRequest)
}

func TestSubscribeWhileDown(t *testing.T) {
	t.Parallel()
	b := mqtttest.InProcess(t)
	p := mqtttest.NewProxy(t, b.URL())
	s := start(t, p.URL())
	p.Refuse(true)
	p.Cut()
	mqtttest.Eventually(t, patience, func() bool { return !s.Status().Connected })
	asError(t, s.Subscribe(within(t, 30*time.Millisecond), Filter{Filter: "late", QoS: 1}), event.ReasonNotConnected)
	waiting := make(chan error, 1)
	go func() { waiting <- s.Subscribe(within(t, patience), Filter{Filter: "b", QoS: 1}) }()
	if err := s.Unsubscribe(within(t, patience), "c"); err != nil {
		t.Error(err)
	}
	p.Refuse(false)
	if err := <-waiting; err != nil {
		t.Fatal(err)
	}
	// The filter whose caller stopped waiting stays wanted.
	mqtttest.Eventually(t, patience, func() bool {
		for _, c := range b.Sessions() {
			if c.ClientID == s.cfg.ClientID {
				return slices.Equal(c.Filters, []string{"b", "late"})
			}
		}
		return false
	})
}

// A caller does not wait forever for a request that was replaced by another.
func TestSubscriptionsThatReplaceEachOther(t *testing.T) {
	t.Parallel()
	var d diary
	s := start(t, scripted(t, true, d.keeping))
	ctx := within(t, patience)
	result := make(chan error, 3)
	go func() { result <- s.Subscribe(ctx, Filter{Filter: "mute", QoS: 0}) }()
	d.wait(t, "1 subscribe mute")
	go func() { result <- s.Subscribe(ctx, Filter{Filter: "mute", QoS: 1}) }() // waits for the previous SUBACK
	mqtttest.Eventually(t, patience, func() bool { s.subs.mu.Lock(); defer s.subs.mu.Unlock(); return s.subs.wanted["mute"].QoS == 1 })
	go func() { result <- s.Unsubscribe(ctx, "mute") }()
	for range 2 {
		if err := <-result; event.ReasonOf(err) != event.ReasonCanceled {
			t.Errorf("%v", err)
		}
	}
	s.subs.add(Filter{Filter: "mute", QoS: 1}, true, retainNew)
	if err := <-result; err != nil {
		t.Error(err)
	}
}

// After a refused change the previous grant remains.
func TestRefusedUpgradeKeepsTheGrant(t *testing.T) {
	t.Parallel()
	var (
		d diary
		j journal
	)
	codes := func(p *peer) {
		n := 0
		p.codes = func(f string) byte {
			d.add("%d subscribe %s", p.n, f)
			if n++; p.n == 1 && n > 1 {
				return 0x80
			}
			return 1
		}
		for packet, ok := p.next(); ok; packet, ok = p.next() {
			if packet.Topic() == "cut" {
				p.reset()
			}
		}
	}
	s := open(t, scripted(t, false, codes), to(&j))
	if err := s.Want(Filter{Filter: "a"}); err != nil {
		t.Fatal(err)
	}
	s.Start()
	ready(t, s)
	asError(t, s.Subscribe(within(t, patience), Filter{Filter: "a", QoS: 1}), event.ReasonRefused)
	if !s.Status().Ready {
		t.Error("not ready any more")
	}
	_ = s.Publish(t.Context(), &Message{Topic: "cut"})
	d.wait(t, "2 subscribe a")
}

// Some brokers confuse our packet ids with theirs.
func TestSubackIdInUseIsTriedAgain(t *testing.T) {
	t.Parallel()
	url := scripted(t, true, func(p *peer) {
		tries := 0
		p.codes = func(string) byte {
			if tries++; tries < 5 {
				return codeInUse
			}
			return 1
		}
		serveAll(p)
	})
	s := open(t, url)
	want(t, s, "a")
	s.Start()
	ready(t, s)
}

func TestNoSubackIsANewConnection(t *testing.T) {
	t.Parallel()
	var (
		d diary
		j journal
	)
	s := open(t, scripted(t, true, d.keeping), to(&j), func(c *Config) { c.ConnectTimeout = 50 * time.Millisecond })
	want(t, s, "mute")
	s.Start()
	e := waitEvent[ConnectionLost](t, &j, 1)
	if !strings.Contains(e[0].Err.Error(), "no SUBACK") {
		t.Errorf("%v", e[0].Err)
	}
	d.wait(t, "2 subscribe mute")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s.Close(ctx)
}

// Many filters are requested in several packets.
func TestManyFilters(t *testing.T) {
	t.Parallel()
	b := mqtttest.InProcess(t)
	s := open(t, b.URL())
	for i := range 2*maxFilters + 1 {
		want(t, s, fmt.Sprintf("f/%d", i))
	}
	var j journal
	s.cfg.Notify = j.add
	s.Start()
	ready(t, s)
	if e := waitEvent[Subscribed](t, &j, 1); e[0].Filters != 2*maxFilters+1 {
		t.Errorf("%+v", e)
	}
}
