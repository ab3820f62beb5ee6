package session

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// chaosSize returns the number of messages and cuts. It is small by default;
// the environment can increase it, for example:
//
//	CHAOS_MESSAGES=120000 CHAOS_CUTS=100 go test -run Chaos -v -timeout 30m ./internal/mqtt/session
func chaosSize(t *testing.T) (messages, cuts int) {
	number := func(name string, normal int) int {
		v := os.Getenv(name)
		if v == "" {
			return normal
		}
		n, err := strconv.Atoi(v)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return n
	}
	return number("CHAOS_MESSAGES", 12_000), number("CHAOS_CUTS", 10)
}

// oracle compares what the two proxies saw on the wire with what the two
// sessions reported to their callers.
type oracle struct {
	mu sync.Mutex

	qos      []byte         // of each message, set at the start
	outcome  []int          // number of callbacks for each message
	nils     []bool         // the callback reported nil
	acked    []bool         // a PUBACK or PUBCOMP was sent to the publisher
	handled  []int          // deliveries to the sink
	byID     map[uint16]int // publisher's packet id to message, as last seen on the wire
	resent   int
	failures []error

	received  map[int][]uint16 // subscriber: per connection, ids in receive order, unacknowledged
	delivered map[uint16]int   // subscriber's packet id to message
	released  []bool           // the broker has sent PUBREL
	regressed []bool           // the broker went back to PUBLISH, or had used the id for another message before
	acks      int
	disorder  int
	redeliver int
}

func newOracle(n int) *oracle {
	o := &oracle{
		qos: make([]byte, n), outcome: make([]int, n), nils: make([]bool, n), acked: make([]bool, n), handled: make([]int, n),
		released: make([]bool, n), regressed: make([]bool, n),
		byID: map[uint16]int{}, delivered: map[uint16]int{}, received: map[int][]uint16{},
	}
	for i := range o.qos {
		if o.qos[i] = 1; i%6 == 5 {
			o.qos[i] = 2
		}
	}
	return o
}

// publisher observes the publisher's proxy. A packet is recorded before it is
// forwarded, so that the oracle knows every acknowledgement before the session
// does.
func (o *oracle) publisher(p mqtttest.Observed) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case p.Direction == mqtttest.ToBroker && p.Type() == mqtttest.TypePublish:
		o.byID[p.ID()] = number(p.Payload())
		if p.Dup() {
			o.resent++
		}
	case p.Direction == mqtttest.ToClient && !p.Dropped && (p.Type() == mqtttest.TypePuback || p.Type() == mqtttest.TypePubcomp):
		if n, ok := o.byID[p.ID()]; ok {
			o.acked[n] = true
		}
	}
}

// subscriber observes the subscriber's proxy.
func (o *oracle) subscriber(p mqtttest.Observed) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case p.Direction == mqtttest.ToClient && p.Type() == mqtttest.TypePubrel:
		o.released[o.delivered[p.ID()]] = true
	case p.Direction == mqtttest.ToClient && p.Type() == mqtttest.TypePublish && !p.Dropped:
		n := number(p.Payload())
		if old, used := o.delivered[p.ID()]; used && old != n && !o.released[old] {
			o.regressed[old] = true
		}
		o.delivered[p.ID()] = n
		o.regressed[n] = o.regressed[n] || (p.Dup() && o.released[n])
		o.received[p.Connection] = append(o.received[p.Connection], p.ID())
		if p.Dup() {
			o.redeliver++
		}
	case p.Direction == mqtttest.ToBroker && (p.Type() == mqtttest.TypePuback || p.Type() == mqtttest.TypePubrec):
		o.acks++
		list := o.received[p.Connection]
		if len(list) == 0 || list[0] != p.ID() {
			o.disorder++
			return
		}
		o.received[p.Connection] = list[1:]
	}
}

func (o *oracle) told(n int, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.outcome[n]++
	o.nils[n] = err == nil
	if err != nil {
		o.failures = append(o.failures, err)
	}
}

func (o *oracle) count(of func(int) bool) (n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i := range o.qos {
		if of(i) {
			n++
		}
	}
	return n
}

// number returns the number of a message, which is at the end of its payload,
// because on MQTT 5 properties precede it.
func number(payload []byte) int { return int(binary.BigEndian.Uint32(payload[len(payload)-4:])) }

// crew is a sink that handles messages on a few goroutines and takes a random
// time for each.
type crew struct {
	o     *oracle
	work  chan *Inbound
	group sync.WaitGroup
}

func (o *oracle) crew(t *testing.T, workers int) *crew {
	c := &crew{o: o, work: make(chan *Inbound, 4096)} // far more than the broker's window
	for range workers {
		c.group.Go(func() {
			for m := range c.work {
				n := number(m.Payload)
				o.mu.Lock()
				o.handled[n]++
				o.mu.Unlock()
				for range rand.N(20) {
					runtime.Gosched()
				}
				m.Done()
			}
		})
	}
	t.Cleanup(func() { close(c.work); c.group.Wait() })
	return c
}

func (c *crew) New(topic []byte, _ byte, _ int) *Inbound { return &Inbound{Topic: string(topic)} }

func (c *crew) Deliver(m *Inbound) { c.work <- m }
func (c *crew) Batch()             {}

// TestChaos cuts the connections of publisher and subscriber at random moments
// and checks: no message is lost, no callback reports nil without an
// acknowledgement, no QoS 2 message arrives twice, and acknowledgements are in
// receive order on every connection.
func TestChaos(t *testing.T) {
	t.Parallel()
	for name, protocol := range map[string]Protocol{"3.1.1": Version31, "5": Version5} {
		t.Run("MQTT "+name, func(t *testing.T) {
			t.Parallel()
			chaos(t, func(c *Config) {
				c.Negotiation = NewNegotiation(protocol)
				c.ConnectTimeout = time.Second // the fault may discard a CONNECT, too
			})
		})
	}
}

func chaos(t *testing.T, version option) {
	messages, cuts := chaosSize(t)
	broker := mqtttest.Mosquitto(t)
	pubProxy, subProxy := mqtttest.NewProxy(t, broker.URL()), mqtttest.NewProxy(t, broker.URL())
	o := newOracle(messages)
	pubProxy.Observe(o.publisher)
	subProxy.Observe(o.subscriber)
	var pubEvents, subEvents journal

	sub := open(t, subProxy.URL(), clientID("chaos"), into(o.crew(t, 8)), to(&subEvents), version)
	want(t, sub, "chaos")
	sub.Start()
	ready(t, sub)
	pub := start(t, pubProxy.URL(), clientID("chaos-pub"), windowOf(128), to(&pubEvents), version)

	began := time.Now()
	var published sync.WaitGroup
	published.Go(func() {
		for n := range messages {
			m := &Message{Topic: "chaos", QoS: o.qos[n], Payload: binary.BigEndian.AppendUint32([]byte("payload"), uint32(n))}
			if err := publishAsync(within(t, time.Minute), pub, m, func(err error) { o.told(n, err) }); err != nil {
				t.Errorf("message %d: %v", n, err)
			}
		}
	})
	done := func(n int) bool { return o.handled[n] > 0 && o.outcome[n] > 0 }
	for i := range cuts {
		at := (i + 1) * messages / (cuts + 2)
		mqtttest.Eventually(t, 5*time.Minute, func() bool { return o.count(done) >= at })
		fault(pubProxy)
		fault(subProxy)
	}
	published.Wait()
	mqtttest.Eventually(t, 2*time.Minute, func() error {
		if n := o.count(done); n < messages {
			return fmt.Errorf("%d of %d done", n, messages)
		}
		return nil
	})
	took := time.Since(began)
	pub.Close(within(t, patience))
	sub.Close(within(t, patience))
	o.verdict(t, took, messages)
	t.Logf("connections: publisher %d, subscriber %d", len(eventsOf[Connected](&pubEvents)), len(eventsOf[Connected](&subEvents)))
	for _, j := range []*journal{&pubEvents, &subEvents} {
		if e := eventsOf[TakenOver](j); len(e) != 0 {
			t.Errorf("taken for a takeover: %+v", e[0])
		}
		if e := eventsOf[Forgotten](j); len(e) != 0 {
			t.Errorf("%+v", e[0])
		}
	}
}

// fault cuts a connection with RST. In two of three cases it first discards the
// bytes of one direction for some milliseconds.
func fault(p *mqtttest.Proxy) {
	if n := rand.N(3); n > 0 {
		d := mqtttest.Direction(n - 1)
		p.BlackHole(d, true)
		time.Sleep(rand.N(4 * time.Millisecond)) //nolint:forbidigo // part of the fault, not synchronisation
		p.Cut()
		p.BlackHole(d, false)
		return
	}
	p.Cut()
}

func (o *oracle) verdict(t *testing.T, took time.Duration, messages int) {
	lost := o.count(func(n int) bool { return o.nils[n] && o.handled[n] == 0 })
	untrue := o.count(func(n int) bool { return o.nils[n] && !o.acked[n] })
	// Mosquitto 2.0.11 forgets a PUBREC when two connections end in quick
	// succession, and after 65,535 messages it reuses ids that are in flight.
	// Nothing distinguishes that PUBLISH from a new message with the id
	// [MQTT-4.3.3-1].
	broker := o.count(func(n int) bool { return o.qos[n] == 2 && o.handled[n] > 1 && o.regressed[n] })
	twice := o.count(func(n int) bool { return o.qos[n] == 2 && o.handled[n] > 1 && !o.regressed[n] })
	dup1 := o.count(func(n int) bool { return o.qos[n] == 1 && o.handled[n] > 1 })
	calls := o.count(func(n int) bool { return o.outcome[n] != 1 })
	nils := o.count(func(n int) bool { return o.nils[n] })
	o.mu.Lock()
	defer o.mu.Unlock()
	t.Logf("%d messages in %v: nil %d, lost %d, nil without ack %d, QoS 2 twice %d (and by the broker's own doing %d), QoS 1 twice %d, resent with DUP %d, redelivered %d, acks out of order %d of %d, callbacks not once %d",
		messages, took.Round(time.Millisecond), nils, lost, untrue, twice, broker, dup1, o.resent, o.redeliver, o.disorder, o.acks, calls)
	if lost+untrue+twice+calls+o.disorder > 0 || nils != messages {
		t.Errorf("a promise is broken; first failures: %v", o.failures[:min(3, len(o.failures))])
	}
}
