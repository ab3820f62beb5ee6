package mqtttest

import (
	"slices"
	"sync"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/internal/test/program"
)

// fate is what happens to a packet.
type fate int

const (
	pass      fate = iota
	drop           // swallow it
	cutAfter       // forward it, then cut
	cutBefore      // swallow it and cut
	cutWithin      // forward its first half, then cut
)

// rule applies to the packets of one type in one direction.
type rule struct {
	direction Direction
	kind      PacketType
	left      int // packets until the rule is used up
	fate      fate
}

// Cut resets all connections at once (RST) and returns their number.
func (p *Proxy) Cut() int {
	p.mu.Lock()
	links := make([]*link, 0, len(p.links))
	for l := range p.links {
		links = append(links, l)
	}
	p.mu.Unlock()
	for _, l := range links {
		l.reset()
	}
	return len(links)
}

// Refuse closes the port of the proxy, or opens it again: the system refuses new connections.
// Open connections are not affected.
func (p *Proxy) Refuse(refuse bool) {
	p.tb.Helper()
	if !refuse {
		if err := program.Poll(5*time.Second, p.listen); err != nil {
			p.tb.Errorf("mqtttest: proxy: %v", err)
		}
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener != nil {
		_ = p.listener.Close()
		p.listener = nil
	}
}

// Stall keeps all sockets open but forwards nothing in either direction, not even the end of a
// connection, until it is called with false. Writers fill their socket buffers and block, as
// on a dead network path.
func (p *Proxy) Stall(stall bool) { p.stall.set(stall) }

// BlackHole discards everything in one direction, including the end of a connection. When it
// is called with false, forwarding continues with whole packets.
func (p *Proxy) BlackHole(d Direction, on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hole[d] = on
}

// Delay delays everything in one direction by the given time. It does not limit how much is in
// transit, except by a buffer of some MiB for each connection.
func (p *Proxy) Delay(d Direction, by time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay[d] = by
}

// Drop discards the next n packets of a type.
func (p *Proxy) Drop(d Direction, t PacketType, n int) { p.addRule(d, t, n, drop) }

// CutAfter forwards the n-th packet of a type from now on, makes sure that its receiver can
// read it, and then cuts its connection.
func (p *Proxy) CutAfter(d Direction, t PacketType, n int) { p.addRule(d, t, n, cutAfter) }

// CutBefore cuts the connection of the n-th packet of a type from now on, and does not forward
// that packet.
func (p *Proxy) CutBefore(d Direction, t PacketType, n int) { p.addRule(d, t, n, cutBefore) }

// CutWithin forwards the first half of the n-th packet of a type from now on and then cuts its
// connection.
func (p *Proxy) CutWithin(d Direction, t PacketType, n int) { p.addRule(d, t, n, cutWithin) }

// Forgive cancels what is left of Drop, CutAfter, CutBefore and CutWithin.
func (p *Proxy) Forgive() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rules = nil
}

func (p *Proxy) addRule(d Direction, t PacketType, n int, f fate) {
	if n < 1 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rules = append(p.rules, &rule{direction: d, kind: t, left: n, fate: f})
}

// decide applies the faults to a packet. All matching rules count it; the first one that is
// due decides.
func (p *Proxy) decide(d Direction, t PacketType) fate {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.hole[d] {
		return drop
	}
	decision := pass
	for _, r := range p.rules {
		if r.direction != d || r.kind != t {
			continue
		}
		r.left--
		if decision == pass && (r.fate == drop || r.left == 0) {
			decision = r.fate
		}
	}
	p.rules = slices.DeleteFunc(p.rules, func(r *rule) bool { return r.left == 0 })
	return decision
}

func (p *Proxy) swallows(d Direction) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.hole[d]
}

func (p *Proxy) delayOf(d Direction) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.delay[d]
}

// gate blocks callers of wait while it is shut.
type gate struct {
	mu   sync.Mutex
	open chan struct{} // closed while the gate is open
}

func newGate() *gate {
	g := &gate{open: make(chan struct{})}
	close(g.open)
	return g
}

func (g *gate) set(shut bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-g.open:
		if shut {
			g.open = make(chan struct{})
		}
	default:
		if !shut {
			close(g.open)
		}
	}
}

// wait returns false if done is closed before the gate opens.
func (g *gate) wait(done <-chan struct{}) bool {
	g.mu.Lock()
	open := g.open
	g.mu.Unlock()
	select {
	case <-open:
		return true
	case <-done:
		return false
	}
}
