package soak

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// pairs is the number of publishers; each has its own consumer.
const pairs = 2

// quiet is how long no message must be handled for the run to count as ended.
const quiet = 20 * time.Second

// station is a child behind a proxy.
type station struct {
	child *child
	proxy *mqtttest.Proxy
}

type run struct {
	tb     testing.TB
	o      Options
	dir    string
	random *rand.Rand
	fleet  fleet

	publishers, consumers []*station

	started  time.Time
	injected map[string]int // faults by kind
	refused  int            // refused PUBLISH packets; each may be overtaken
	kinds    []fault
}

// Run runs the chain and returns the verdict. Anything that prevents a verdict fails tb.
func Run(tb testing.TB, o Options) *Report {
	tb.Helper()
	r := newRun(tb, o.withDefaults())
	r.messages()
	r.settle()
	return r.report()
}

func newRun(tb testing.TB, o Options) *run {
	r := &run{
		tb: tb, o: o, dir: tb.TempDir(), started: time.Now(),
		random:   rand.New(rand.NewPCG(o.Seed, o.Seed)),
		injected: make(map[string]int),
	}
	r.fleet = newFleet(tb, o)
	for _, f := range append(faults(), r.fleet.faults()...) {
		if len(o.Kinds) == 0 || slices.Contains(o.Kinds, f.name) {
			r.kinds = append(r.kinds, f)
		}
	}
	if len(r.kinds) == 0 {
		tb.Fatalf("chain: no fault has the name %v", o.Kinds)
	}
	for i := range pairs {
		r.consumers = append(r.consumers, r.station("consumer", i))
	}
	for i := range pairs {
		// Publishers start after the subscription, because MQTT drops messages without one.
		mqtttest.Eventually(tb, 30*time.Second, func() bool { return r.consumers[i].proxy.Counts().Passed(mqtttest.ToClient, mqtttest.TypeSuback) > 0 },
			"consumer %d is not subscribed", i)
		r.publishers = append(r.publishers, r.station("publisher", i))
	}
	return r
}

func (r *run) station(role string, index int) *station {
	dir := filepath.Join(r.dir, fmt.Sprintf("%s-%d", role, index))
	if err := os.Mkdir(dir, 0o700); err != nil {
		r.tb.Fatalf("chain: %v", err)
	}
	proxy := mqtttest.NewProxy(r.tb, r.fleet.URL())
	quota := (r.o.Messages + pairs - 1 - index) / pairs
	return &station{newChild(r.tb, role, childConfig{
		Index: index, URL: proxy.URL(), Protocol: r.o.Protocol, Seed: r.o.Seed,
		Messages: quota, Rate: r.o.Rate / pairs, Dir: dir, Peer: filepath.Join(r.dir, fmt.Sprintf("consumer-%d", index)),
	}), proxy}
}

// messages injects faults, spread over the messages, until all messages are accepted.
func (r *run) messages() {
	next := rounds(r.kinds, r.random)
	done := 0
	lastReport, lastChange, before := time.Now(), time.Now(), -1
	for {
		r.alive()
		accepted, handled := r.accepted(), r.handled()
		if accepted+handled != before {
			before, lastChange = accepted+handled, time.Now()
		}
		if time.Since(lastChange) > 3*quiet {
			r.tb.Fatalf("chain: no progress for %v: %d accepted, %d handled (with duplicates), %d faults", 3*quiet, accepted, handled, done)
		}
		if time.Since(lastReport) >= time.Second {
			lastReport = time.Now()
			r.progress(accepted, handled, done)
		}
		switch {
		case done < r.o.Faults && min(accepted, handled) >= r.o.Messages/(r.o.Faults+1)*(done+1):
			f := next()
			f.inject(r)
			r.injected[f.name]++
			done++
		case accepted >= r.o.Messages && done >= r.o.Faults:
			return
		default:
			r.pause(5, 5)
		}
	}
}

// settle ends all faults, waits until the messages have arrived and stops the processes in
// order.
func (r *run) settle() {
	for _, s := range append(r.publishers, r.consumers...) {
		s.proxy.Forgive()
		s.proxy.Cut() // packets dropped on an open connection are sent again
	}
	for i, s := range r.publishers { // without a connection the outbox is not drained
		mqtttest.Eventually(r.tb, quiet, func() bool { return s.proxy.Open() > 0 }, "publisher %d does not reconnect", i)
	}
	for i, s := range r.publishers {
		if err := s.child.stop(drainTime + 10*time.Second); err != nil {
			r.tb.Errorf("chain: publisher %d: %v", i, err)
		}
	}
	last, since := -1, time.Now()
	for time.Since(since) < quiet && !r.complete() {
		r.alive()
		if handled := r.handled(); handled != last {
			last, since = handled, time.Now()
		}
		r.progress(r.accepted(), last, r.total())
		r.pause(500, 500)
	}
	for i, s := range r.consumers {
		if err := s.child.stop(drainTime + 10*time.Second); err != nil {
			r.tb.Errorf("chain: consumer %d: %v", i, err)
		}
	}
}

// complete reports whether all messages that can be handled were handled, according to the
// logs.
func (r *run) complete() bool {
	v := newVerdict(r.o.Seed)
	return r.logs(v) == nil && v.handledAll()
}

func (r *run) accepted() int { return r.lines(r.publishers, acceptedPath) }
func (r *run) handled() int  { return r.lines(r.consumers, handledPath) }

func (r *run) lines(of []*station, path func(string) string) (n int) {
	for _, s := range of {
		n += logLines(path(s.child.cfg.Dir))
	}
	return n
}

// alive fails the run if a child has ended by itself.
func (r *run) alive() {
	for _, s := range append(r.publishers, r.consumers...) {
		if err := s.child.died(); err != nil {
			r.tb.Fatalf("chain: %v\n%s", err, tail(logPath(s.child.cfg.Dir)))
		}
	}
}

func (r *run) total() (n int) {
	for _, k := range r.injected {
		n += k
	}
	return n
}

func (r *run) progress(accepted, handled, faults int) {
	_, _ = fmt.Fprintf(r.o.Progress, "%4.0fs accepted %d handled %d faults %d\n", time.Since(r.started).Seconds(), accepted, handled, faults)
}

// tail returns the end of a file, for an error message.
func tail(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(string(b), "\n")
	return strings.Join(lines[max(0, len(lines)-30):], "\n")
}
