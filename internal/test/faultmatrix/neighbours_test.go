package faultmatrix_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// The rows from 67 on test a hostile neighbour: one device of many, with its own login and
// the same rights as the others, does its worst while fifty honest devices work. They lose
// nothing and keep at least 90 % of their rate.

const (
	honest = 50
	rogue  = "rogue" // name of the hostile device
	// meanwhile is how many messages the honest devices send during the attack.
	meanwhile = int(beside / neighbourPace)
	// neighbourPace is the time between two messages, each from the next device: every
	// device sends four per second.
	neighbourPace = time.Second / (4 * honest)
	before        = 1500 * time.Millisecond // without the attack
	beside        = 2 * time.Second         // during the attack
	stuck         = 100 * time.Millisecond  // a device that cannot write for longer is delayed, even on a busy machine
)

// hostile is the first id of the hostile device's messages.
const hostile = 100_000_000

// neighbours are the honest devices, the hostile one, and the broker between them and the
// service, with a user and access rules for each.
type neighbours struct {
	*harness
	broker  *mqtttest.MosquittoBroker
	devices []*device
	rogue   *device
	// send makes a device send the n-th message, whose id is id(n).
	send func(d *device, n int)
	// heap bounds the growth of the service's memory, in bytes; 0 does not measure it, for
	// rows that run in parallel.
	heap int64
	// losses is how many connections of the service may end.
	losses int

	next int
	mu   sync.Mutex
	sent map[string]time.Time // sent and not handled yet
	took spread
	done atomic.Int64
}

// newNeighbours starts the broker. Devices connect when they are first used.
func (h *harness) newNeighbours(opts ...mqtttest.MosquittoOption) *neighbours {
	h.Helper()
	n := &neighbours{harness: h, sent: make(map[string]time.Time)}
	opts = append(opts, mqtttest.WithUser(rogue, rogue), mqtttest.WithConfig("max_queued_messages 100000", "connection_messages false"), mqtttest.WithACL(
		"user "+planted.user, "topic readwrite #",
		"pattern write devices/%u/#", "pattern read reply/%u/#"))
	for i := range honest {
		opts = append(opts, mqtttest.WithUser(deviceName(i), deviceName(i)))
	}
	n.broker = h.mosquitto(opts...)
	n.send = func(d *device, i int) { d.publish(wire{topic: "devices/" + d.name + "/data", payload: []byte(id(i))}) }
	return n
}

func deviceName(i int) string { return fmt.Sprintf("device-%02d", i) }

// join connects all devices.
func (n *neighbours) join() {
	n.Helper()
	if n.rogue != nil {
		return
	}
	for i := range honest {
		n.devices = append(n.devices, n.device(deviceName(i), n.accepted))
	}
	n.rogue = n.device(rogue, nil)
}

// accepted is called for each PUBACK of an honest device.
func (n *neighbours) accepted(id string, code byte) {
	if code >= 0x80 {
		n.Errorf("the broker refused %s with 0x%02X", id, code)
		return
	}
	n.rec.Accepted(id)
}

// handled is called when an honest message has been handled.
func (n *neighbours) handled(id string) {
	n.rec.Handled(id)
	n.mu.Lock()
	at, first := n.sent[id]
	if first {
		delete(n.sent, id)
		n.took = append(n.took, time.Since(at))
	}
	n.mu.Unlock()
	if first {
		n.done.Add(1)
	}
}

// window lets the honest devices send for a while, and returns the share of their messages
// that were handled by its end, plus a tenth of its length. They keep their pace whatever
// happens; time in which a device could not write counts as messages that were not handled.
func (n *neighbours) window(d time.Duration, during func()) (share float64, took spread) {
	n.Helper()
	n.mu.Lock()
	clear(n.sent) // late messages do not count
	n.took = nil
	n.mu.Unlock()
	n.done.Store(0)
	ended := make(chan struct{})
	if during == nil {
		close(ended)
	} else {
		go func() { defer close(ended); during() }()
	}
	tick := time.NewTicker(neighbourPace)
	defer tick.Stop()
	began, sent, blocked := time.Now(), 0, time.Duration(0)
	for time.Since(began) < d {
		i := n.next
		n.next++
		n.mu.Lock()
		n.sent[id(i)] = time.Now()
		n.mu.Unlock()
		n.rec.Attempted(id(i))
		start := time.Now()
		n.send(n.devices[i%honest], i)
		if took := time.Since(start); took > stuck {
			blocked += took
		}
		sent++
		<-tick.C
	}
	for late := time.Now().Add(d / 10); n.done.Load() < int64(sent) && time.Now().Before(late); {
		<-tick.C
	}
	done := n.done.Load()
	n.mu.Lock()
	took = slices.Clone(n.took)
	n.mu.Unlock()
	<-ended
	n.Logf("%d sent in %v, blocked for %v, %d handled in time, %v", sent, time.Since(began).Round(time.Millisecond), blocked, done, took)
	return float64(done) / (float64(sent) + float64(blocked)/float64(neighbourPace)), took
}

// unharmed compares the honest devices during an attack with the same devices without it,
// and determines by ids what happened to their messages. attack receives the number of the
// first message that is sent during it. On a busy machine it is called again: what a
// hostile neighbour really delays is delayed every time. The function that attack may
// return ends the attack after the measurement.
func (n *neighbours) unharmed(service *subscriber, attack func(first int) (end func())) {
	n.Helper()
	n.join()
	var heap int64
	var rounds []string
	for round := 1; ; round++ {
		clean, alone := n.window(before, nil)
		stop := n.watchHeap(&heap)
		first, end := n.next, func() {}
		bad, took := n.window(beside, func() {
			if f := attack(first); f != nil {
				end = f
			}
		})
		stop()
		end()
		rounds = append(rounds, fmt.Sprintf("rate %.0f %% of %.0f %% alone, p99 %v of %v alone",
			100*bad, 100*clean, took.at(0.99).Round(time.Millisecond), alone.at(0.99).Round(time.Millisecond)))
		if clean >= flowShare && bad >= flowShare*clean {
			break
		}
		if round == flowRounds {
			n.Errorf("in %d rounds: beside the hostile one %.0f %% are handled in time, without it %.0f %%", round, 100*bad, 100*clean)
			break
		}
	}
	rep := n.verdict()
	n.figure(n.Name(), fmt.Sprintf("lost %d of %d, doubled %d, connections lost %d, heap %+.1f MiB, %s",
		len(rep.Lost), rep.Attempted, rep.Duplicates, len(service.lost()), float64(heap)/mebi, strings.Join(rounds, "; ")))
	if err := rep.Err(); err != nil {
		n.Errorf("honest messages: %v", err)
	}
	if rep.Duplicates > 0 && n.losses == 0 {
		n.Errorf("%d messages were handled again although no connection should end", rep.Duplicates)
	}
	if lost := service.lost(); len(lost) > n.losses {
		n.Errorf("%d connections of the service lost, want %d at most; first %+v", len(lost), n.losses, lost[0].info)
	}
	if n.heap > 0 && heap > n.heap {
		n.Errorf("%.1f MiB of heap, want %.1f MiB at most", float64(heap)/mebi, float64(n.heap)/mebi)
	}
}

// named checks that an operator can find the cause: the log, a hook or the health contains
// one of these texts.
func (n *neighbours) named(texts ...string) {
	n.Helper()
	n.eventually(func() error {
		said := n.said.text()
		for _, text := range texts {
			if strings.Contains(said, text) {
				return nil
			}
		}
		return fmt.Errorf("neither log nor hook nor health names %q", texts)
	})
}

// verdict returns the report on the honest messages, once nothing is missing or it is clear
// that something is lost.
func (n *neighbours) verdict() mqtttest.Report {
	n.soon(func() bool { return n.rec.Report().Err() == nil })
	return n.rec.Report()
}

// soon waits until holds returns true, or until it is clear that it never will; the row
// then judges.
func (n *neighbours) soon(holds func() bool) {
	for deadline := time.Now().Add(patience / 2); !holds() && time.Now().Before(deadline); {
		pause(20 * time.Millisecond)
	}
}

// watchHeap records the largest growth of the live heap until it is stopped.
func (n *neighbours) watchHeap(most *int64) (stop func()) {
	if n.heap == 0 {
		return func() {}
	}
	base, quit, ended := liveHeap(), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			*most = max(*most, liveHeap()-base)
			select {
			case <-quit:
				return
			case <-time.After(100 * time.Millisecond):
			}
		}
	}()
	return func() { close(quit); <-ended }
}

// eachWay runs a row in several ways, each on all versions that support it.
func eachWay[W interface{ versions() []string }](t *testing.T, ways map[string]W, row func(h *harness, way W)) {
	t.Helper()
	for name, way := range ways {
		for _, version := range way.versions() {
			t.Run(name+" MQTT "+version, func(t *testing.T) {
				t.Parallel()
				row(newHarness(t, version), way)
			})
		}
	}
}
