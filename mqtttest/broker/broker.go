package broker

import (
	"cmp"
	"fmt"
	"maps"
	"net"
	"os"
	"slices"
	"sync"
)

// Broker is a running broker. It is safe for concurrent use. Methods that may not be called by
// an observer are documented.
type Broker struct {
	control   sync.Mutex // serialises Start, Stop and Kill
	listeners listeners
	core      *core
	script    script
}

// Listen starts a broker. It returns all errors in the options, joined.
func Listen(opts ...Option) (*Broker, error) {
	o := defaults()
	for _, opt := range opts {
		opt(&o)
	}
	o.addNodes()
	if err := o.validate(); err != nil {
		return nil, fmt.Errorf("broker: %w", err)
	}
	b := &Broker{core: newCore(&o)}
	b.script.init(o.script, func(f func(*Broker)) { f(b) })
	b.listeners = listeners{
		list: o.listeners, max: o.maxConnections, log: o.log, refused: &b.core.traffic.refused,
		connect: func(via *listener, socket net.Conn) *conn { return newConn(b.core, &b.script, via, socket) },
		conns:   make(map[*conn]struct{}),
	}
	if err := b.Start(); err != nil {
		return nil, err
	}
	return b, nil
}

// Start starts a stopped or killed broker on the same address, with the sessions that were
// kept. It does nothing if the broker is running.
func (b *Broker) Start() error {
	b.control.Lock()
	defer b.control.Unlock()
	if !b.listeners.begin() {
		return nil
	}
	err := b.core.openJournal()
	if err == nil {
		err = b.listeners.open()
	}
	if err != nil {
		b.listeners.halt()
		b.core.closeJournal(false)
		return err
	}
	b.core.locked(b.core.begin)
	return nil
}

// Stop ends the broker gracefully: MQTT 5 clients receive a DISCONNECT with code 0x8B, and
// state is saved. Wills are not published. It returns after everything has ended. Sessions are
// kept in memory, or in the file of [WithFile], for Start. It must not be called by an
// observer.
func (b *Broker) Stop() {
	b.control.Lock()
	defer b.control.Unlock()
	if !b.listeners.halt() {
		return
	}
	b.core.locked(func() {
		b.core.dismiss()
		b.core.save()
		b.core.rest()
	})
	b.thaw()
	b.listeners.each(func(c *conn) {
		if !c.out.last() {
			c.close()
		}
	})
	b.listeners.wg.Wait()
	b.core.closeJournal(false)
}

// Close is like Stop, and waits for functions started by faults, see [Call].
func (b *Broker) Close() {
	b.Stop()
	b.script.calls.Wait()
}

// Kill ends the broker like a crash: connections are reset without a DISCONNECT, and no will
// is published. Without keepSessions, sessions are lost. Otherwise they are kept in the state
// of the last save; without [SaveEvery] and [SaveAfter] nothing is lost. Sessions that end
// with their connection are always lost, and not counted. With [WithFile], sessions are kept
// as in the file, which contains everything acknowledged, and the returned Loss is empty.
// Start starts the broker again. It must not be called by an observer.
func (b *Broker) Kill(keepSessions bool) Loss {
	b.control.Lock()
	defer b.control.Unlock()
	if !b.listeners.halt() {
		return Loss{}
	}
	var loss Loss
	b.core.locked(func() {
		b.core.rest()
		b.listeners.each(func(c *conn) { c.dead = true })
		loss = b.core.crash(keepSessions)
	})
	b.core.closeJournal(true)
	b.listeners.each((*conn).reset)
	b.thaw()
	b.listeners.wg.Wait()
	if file := b.core.options.file; file != "" && !keepSessions {
		_ = os.Remove(file)
	}
	b.script.faults.count("kill")
	return loss
}

// thaw releases everything that a fault blocks, so that it can end.
func (b *Broker) thaw() {
	b.script.frozen.set(false)
	b.listeners.each(func(c *conn) { c.hold(false, false) })
}

// Save saves the state now, see [SaveEvery]. It must not be called by an observer.
func (b *Broker) Save() { b.core.locked(b.core.save) }

// Addr returns host:port of the plain listener.
func (b *Broker) Addr() string { return b.listeners.address() }

// URL returns the address of the plain listener, mqtt://host:port. Stop and Start do not
// change it.
func (b *Broker) URL() string { return b.listeners.url("mqtt") }

// TLSURL returns the mqtts:// address of the first TLS listener, or "" if there is none; see
// [WithTLS].
func (b *Broker) TLSURL() string { return b.listeners.url("mqtts") }

// WebSocketURL returns the ws:// or else wss:// address of the first WebSocket listener, or ""
// if there is none; see [WithWebSocket].
func (b *Broker) WebSocketURL() string {
	return cmp.Or(b.listeners.url("ws"), b.listeners.url("wss"))
}

// Counts returns the counts so far. It must not be called by an observer.
func (b *Broker) Counts() (counts Counts) {
	b.core.locked(func() { counts = b.core.counts })
	counts.Refused = b.core.traffic.refused.Load()
	return counts
}

// Dropped returns Counts().Dropped().
func (b *Broker) Dropped() int64 { return b.Counts().Dropped() }

// Stats returns the current state, which is also published under $SYS/broker, see [SysEvery].
// It visits all sessions. It must not be called by an observer.
func (b *Broker) Stats() (s Stats) {
	b.core.locked(func() { s = b.core.stats() })
	return s
}

// Sessions returns the sessions, sorted by client id. It must not be called by an observer.
func (b *Broker) Sessions() (list []Session) {
	b.core.locked(func() { list = describe(b.core.sessions) })
	return list
}

// Retained returns the topics of the retained messages, sorted. It must not be called by an
// observer.
func (b *Broker) Retained() (topics []string) {
	b.core.locked(func() { topics = slices.Sorted(maps.Keys(b.core.retained.byTopic)) })
	return topics
}

// Recovered returns what the last Start found in the file of [WithFile]. It must not be called
// by an observer.
func (b *Broker) Recovered() (r Recovery) {
	b.core.locked(func() { r = b.core.recovery })
	return r
}
