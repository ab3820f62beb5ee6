package conformance

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	testbroker "github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// TestChaos sends messages from publishers to a server through the in-process
// broker, which makes one fault of each kind after the other, in random order:
// nothing that was accepted is lost, and no QoS 2 message is handled twice.
func TestChaos(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"3.1.1", "5"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			chaos(t, version, rand.Uint64())
		})
	}
}

func chaos(t *testing.T, version string, seed uint64) {
	const publishers, messages, rounds = 3, 2000, 4
	random := rand.New(rand.NewPCG(seed, seed))
	b := mqtttest.InProcess(t, testbroker.WithSeed(seed))
	rec := [3]*mqtttest.Recorder{1: mqtttest.NewRecorder(), 2: mqtttest.NewRecorder()} // by QoS
	t.Logf("seed %d", seed)

	srv := server(t, b.URL(), version, mqttserver.WithBrokerOptions(patient()...))
	for qos := byte(1); qos <= 2; qos++ {
		register(t, srv, fmt.Sprint("chaos/", qos, "/+"), func(_ context.Context, e broker.Event) error {
			rec[qos].Handled(string(e.Message().BodyBytes()))
			return nil
		}, mqttbroker.WithSubscribeQos(qos))
	}
	run(t, srv)

	var wg sync.WaitGroup
	stop := make(chan struct{})
	for i := range publishers {
		qos := byte(1 + i%2)
		p := publisher(t, b.URL(), version, append(patient(), mqttbroker.WithClientId(fmt.Sprint("chaos", i)))...)
		wg.Go(func() { produce(t, p, fmt.Sprint("chaos/", qos, "/", i), qos, rec[qos], messages, stop) })
	}
	accepted := func() int { return rec[1].Progress().Accepted + rec[2].Progress().Accepted }
	for range rounds {
		for _, i := range random.Perm(len(faults)) {
			before := accepted()
			faults[i].make(b, random)
			mqtttest.Eventually(t, patience, func() bool { return accepted() > before }, "after "+faults[i].name)
		}
	}
	close(stop)
	wg.Wait()
	b.Cut() // discarded packets are sent again
	mqtttest.Eventually(t, patience, func() bool { return rec[1].Progress().Lost+rec[2].Progress().Lost == 0 })
	if r := rec[2].Report(); r.Duplicates > 0 {
		t.Errorf("QoS 2: %v, twice %q", r, r.Duplicated[:min(5, len(r.Duplicated))])
	}
	if n := b.Dropped(); n != 0 {
		t.Errorf("the run is invalid: the broker dropped %d", n)
	}
	for qos := byte(1); qos <= 2; qos++ {
		if err := rec[qos].Report().Err(); err != nil {
			t.Errorf("QoS %d: %v", qos, err)
		}
	}
	t.Logf("QoS 1: %v; QoS 2: %v; faults %v", rec[1].Report(), rec[2].Report(), b.Faults())
}

// patient returns options with which clients reconnect and detect dead connections quickly.
func patient() []broker.Option {
	return []broker.Option{
		mqttbroker.WithConnectRetryInterval(time.Millisecond), mqttbroker.WithMaxReconnectInterval(20 * time.Millisecond),
		mqttbroker.WithConnectTimeout(time.Second),
	}
}

// produce publishes at least n messages and continues until it is stopped. Many
// messages are in flight, but no more than the consumers can keep up with.
func produce(t *testing.T, p *mqttbroker.Publisher, topic string, qos byte, rec *mqtttest.Recorder, n int, stop <-chan struct{}) {
	const backlog = 500
	pause := time.NewTicker(time.Millisecond)
	defer pause.Stop()
	var wg sync.WaitGroup
	defer wg.Wait()
	for i := 0; ; i++ {
		select {
		case <-stop:
			if i >= n {
				return
			}
		default:
		}
		for rec.Progress().Lost > backlog {
			<-pause.C
		}
		id := fmt.Sprint(strings.ReplaceAll(topic, "/", "-"), "-", i)
		rec.Attempted(id)
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		w, err := p.BeginPublish(ctx, topic, []byte(id), event.QoS(qos))
		if err != nil {
			cancel()
			t.Errorf("%s: %v", id, err)
			return
		}
		wg.Go(func() {
			defer cancel()
			if w.Wait(ctx) == nil {
				rec.Accepted(id)
			}
		})
	}
}

// faults are the possible faults of a broker and its connections.
var faults = []struct {
	name string
	make func(b *mqtttest.InProcessBroker, random *rand.Rand)
}{
	{"cut", func(b *mqtttest.InProcessBroker, _ *rand.Rand) { b.Cut() }},
	{"cut at a packet", func(b *mqtttest.InProcessBroker, random *rand.Rand) {
		b.Inject(testbroker.Fault{
			Direction: testbroker.Direction(random.IntN(2)), Type: handshake(random), After: random.IntN(20), Times: 1, Lasting: 50 * time.Millisecond,
			Do: []testbroker.Action{testbroker.CutBefore(), testbroker.CutWithin(), testbroker.CutAfter()}[random.IntN(3)],
		})
	}},
	{"lost packets, then cut", func(b *mqtttest.InProcessBroker, random *rand.Rand) {
		b.Inject(testbroker.Fault{Direction: testbroker.Direction(random.IntN(2)), Type: handshake(random), Times: 1 + random.IntN(5), Lasting: 20 * time.Millisecond, Do: testbroker.Drop()})
		holdFor(5*time.Millisecond, func(bool) {})
		b.Cut()
	}},
	{"delay", func(b *mqtttest.InProcessBroker, random *rand.Rand) {
		b.Inject(testbroker.Fault{Direction: testbroker.Direction(random.IntN(2)), Type: handshake(random), Times: 3, Do: testbroker.Delay(time.Duration(random.IntN(5)) * time.Millisecond)})
	}},
	{"half-open, then cut", func(b *mqtttest.InProcessBroker, _ *rand.Rand) {
		holdFor(5*time.Millisecond, func(on bool) { b.HalfOpen(on) })
		b.Cut()
	}},
	{"stop reading", func(b *mqtttest.InProcessBroker, _ *rand.Rand) {
		holdFor(10*time.Millisecond, func(on bool) { b.StopReading(on) })
	}},
	{"freeze", func(b *mqtttest.InProcessBroker, _ *rand.Rand) { holdFor(10*time.Millisecond, b.Freeze) }},
	{"black hole, then cut", func(b *mqtttest.InProcessBroker, random *rand.Rand) {
		b.BlackHole(testbroker.Direction(random.IntN(2)), true)
		holdFor(2*time.Millisecond, func(bool) {})
		b.Cut()
	}},
	{"refuse CONNECT", func(b *mqtttest.InProcessBroker, random *rand.Rand) {
		b.Inject(testbroker.Fault{Type: testbroker.Connect, Times: 1 + random.IntN(3), Do: testbroker.Refuse(0x88)})
		b.Cut()
	}},
	{"refuse the connection", func(b *mqtttest.InProcessBroker, _ *rand.Rand) {
		holdFor(10*time.Millisecond, func(on bool) { b.Refuse(on); b.Cut() })
	}},
	{"kill", func(b *mqtttest.InProcessBroker, _ *rand.Rand) { b.Kill(true); b.Start() }},
	{"restart", func(b *mqtttest.InProcessBroker, _ *rand.Rand) { b.Stop(); b.Start() }},
	{"replay", func(b *mqtttest.InProcessBroker, random *rand.Rand) {
		b.Inject(testbroker.Fault{Direction: testbroker.ToClient, Type: handshake(random), Times: 3, Do: testbroker.Replay()})
	}},
	{"redeliver", func(b *mqtttest.InProcessBroker, _ *rand.Rand) { b.Redeliver() }},
	{"malformed", func(b *mqtttest.InProcessBroker, random *rand.Rand) {
		b.Inject(testbroker.Fault{Direction: testbroker.ToClient, Type: handshake(random), Times: 1, Lasting: 50 * time.Millisecond, Do: testbroker.Malformed([]byte{0x36, 0xFF, 0xFF, 0xFF, 0xFF})})
	}},
}

// handshake returns one of the packet types of message exchanges.
func handshake(random *rand.Rand) testbroker.PacketType {
	return testbroker.Publish + testbroker.PacketType(random.IntN(5))
}

// holdFor keeps a fault on for d. This wait is the fault, not synchronisation.
func holdFor(d time.Duration, set func(on bool)) {
	set(true)
	timer := time.NewTimer(d)
	defer timer.Stop()
	<-timer.C
	set(false)
}
