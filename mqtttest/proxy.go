package mqtttest

import (
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/internal/test/port"
	testbroker "github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
)

// Direction is the direction of a packet.
type Direction = testbroker.Direction

// The directions.
const (
	ToBroker = testbroker.ToBroker // from client to broker
	ToClient = testbroker.ToClient // from broker to client
)

// Proxy is a TCP proxy between clients and one broker that injects faults on demand. In front
// of a plain mqtt:// address it forwards whole MQTT packets, which it can drop, cut at and
// show. For other addresses (TLS, WebSocket) it forwards bytes, and faults for a packet type
// have no effect.
//
// It is safe for concurrent use, also by an observer.
type Proxy struct {
	tb     testing.TB
	scheme string
	path   string
	target string // host:port of the broker
	addr   string // host:port of the proxy
	raw    bool   // forward bytes, not packets
	stall  *gate
	wg     sync.WaitGroup

	mu       sync.Mutex
	listener net.Listener // nil while refusing
	closed   bool
	links    map[*link]struct{}
	hole     [2]bool
	delay    [2]time.Duration
	rules    []*rule
	counts   Counts

	observing sync.Mutex // one call at a time
	observer  func(Observed)
}

// Observed is a packet that passes through a [Proxy].
type Observed struct {
	Packet
	// Direction in which the packet goes.
	Direction Direction
	// Connection is the number of the connection through the proxy, starting at 1.
	Connection int
	// Dropped is set if the packet will not be forwarded.
	Dropped bool
}

// Counts are the numbers of packets that a [Proxy] has received.
type Counts struct {
	// Connections is the number of accepted connections.
	Connections int

	passed, dropped [2][16]int
}

// Passed returns the number of forwarded packets of a type.
func (c Counts) Passed(d Direction, t PacketType) int { return c.passed[d][t&15] }

// Dropped returns the number of discarded packets of a type.
func (c Counts) Dropped(d Direction, t PacketType) int { return c.dropped[d][t&15] }

// NewProxy starts a proxy in front of target, the URL of a broker or host:port. It is closed
// at the end of the test.
func NewProxy(tb testing.TB, target string) *Proxy {
	tb.Helper()
	p := &Proxy{tb: tb, stall: newGate(), links: make(map[*link]struct{}), addr: port.Address(tb)}
	if !strings.Contains(target, "://") {
		target = "mqtt://" + target
	}
	u, err := url.Parse(target)
	if err != nil || u.Port() == "" {
		tb.Fatalf("mqtttest: proxy target %q is not a URL with a port", target)
	}
	p.scheme, p.target, p.path = u.Scheme, u.Host, u.Path
	p.raw = p.scheme != "mqtt" && p.scheme != "tcp"
	if err := p.listen(); err != nil {
		tb.Fatalf("mqtttest: proxy: %v", err)
	}
	tb.Cleanup(p.Close)
	return p
}

// URL returns the address for clients: that of the target with the port of the proxy.
func (p *Proxy) URL() string { return fmt.Sprintf("%s://%s%s", p.scheme, p.addr, p.path) }

// Counts returns the numbers of packets and connections so far.
func (p *Proxy) Counts() Counts {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.counts
}

// Open returns the number of open connections.
func (p *Proxy) Open() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.links)
}

// Observe calls f for every packet, one call at a time, in the order of each direction of each
// connection, before the packet is forwarded, so that f sees it before its receiver can. The
// body must not be modified. A second call replaces the observer; nil removes it.
func (p *Proxy) Observe(f func(Observed)) {
	p.observing.Lock()
	defer p.observing.Unlock()
	p.observer = f
}

// Close resets all connections, stops listening and waits for the goroutines of the proxy.
func (p *Proxy) Close() {
	p.mu.Lock()
	p.closed = true
	if p.listener != nil {
		_ = p.listener.Close()
		p.listener = nil
	}
	p.mu.Unlock()
	p.Cut()
	p.wg.Wait()
}

// dialTimeout limits how long a target may take to accept a connection. It is long, because it
// only matters on a busy machine: a target that is down refuses at once.
const dialTimeout = 30 * time.Second

// listen opens the port of the proxy if it is closed.
func (p *Proxy) listen() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.listener != nil {
		return nil
	}
	l, err := net.Listen("tcp", p.addr)
	if err != nil {
		return err
	}
	p.addr = l.Addr().String()
	p.listener = l
	p.wg.Go(func() { p.accept(l) })
	return nil
}

func (p *Proxy) accept(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		p.wg.Go(func() { p.serve(c.(*net.TCPConn)) })
	}
}

// serve handles one connection.
func (p *Proxy) serve(client *net.TCPConn) {
	c, err := net.DialTimeout("tcp", p.target, dialTimeout)
	if err != nil {
		reset(client)
		return
	}
	l := p.add(client, c.(*net.TCPConn))
	if l == nil {
		return
	}
	l.run()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.links, l)
}

func (p *Proxy) add(client, broker *net.TCPConn) *link {
	l := &link{proxy: p, done: make(chan struct{})}
	l.conns = [2]*net.TCPConn{ToBroker: broker, ToClient: client}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		l.reset()
		return nil
	}
	p.counts.Connections++
	l.id = p.counts.Connections
	p.links[l] = struct{}{}
	return l
}

// observe counts a packet and passes it to the observer.
func (p *Proxy) observe(o Observed) {
	p.mu.Lock()
	if o.Dropped {
		p.counts.dropped[o.Direction][o.Type()]++
	} else {
		p.counts.passed[o.Direction][o.Type()]++
	}
	p.mu.Unlock()
	p.observing.Lock()
	defer p.observing.Unlock()
	if p.observer != nil {
		p.observer(o)
	}
}
