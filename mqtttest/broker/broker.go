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

// Broker is a running broker. Its methods may be called from any goroutine;
// those that say so not from an observer.
type Broker struct {
	control   sync.Mutex // serialises Start, Stop and Kill
	listeners listeners
	core      *core
	script    script
}

// Listen starts a broker. It reports all problems of the options at once.
func Listen(opts ...Option) (*Broker, error) {
	o := defaults()
	for _, opt := range opts {
		opt(&o)
	}
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

// Start starts a stopped or killed broker again on the same address, with the
// sessions that were kept. Start of a running broker does nothing.
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

// Stop ends the broker in order: clients of MQTT 5 get a DISCONNECT with
// 0x8B, state is saved. Wills are not published. It returns when all has ended; sessions stay,
// in memory or in the file of [WithFile], for Start. It must not be called by an
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

// Close is Stop, and waits for what faults have called, see [Call].
func (b *Broker) Close() {
	b.Stop()
	b.script.calls.Wait()
}

// Kill ends the broker as a crash does: connections are reset without a DISCONNECT,
// no will is published. Sessions are gone, or, if they are kept, as they were
// saved last: without [SaveEvery] and [SaveAfter] as they were. Sessions that
// end with their connection are gone in any case, and not counted as a loss. With
// [WithFile] sessions are as the file has them, which is what was acknowledged,
// and there is nothing to tell of a loss.
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

// thaw lets everything go on that a fault holds, so that it can end.
func (b *Broker) thaw() {
	b.script.frozen.set(false)
	b.listeners.each(func(c *conn) { c.hold(false, false) })
}

// Save saves the state now, see [SaveEvery]. It must not be called by an
// observer.
func (b *Broker) Save() { b.core.locked(b.core.save) }

// Addr is host:port of the plain listener.
func (b *Broker) Addr() string { return b.listeners.address() }

// URL is the address of the plain listener for clients, mqtt://host:port. It
// stays the same over Stop and Start.
func (b *Broker) URL() string { return b.listeners.url("mqtt") }

// TLSURL is the mqtts:// address of the first TLS listener, empty if there is
// none, see [WithTLS].
func (b *Broker) TLSURL() string { return b.listeners.url("mqtts") }

// WebSocketURL is the ws:// or else wss:// address of the first WebSocket
// listener, empty if there is none, see [WithWebSocket].
func (b *Broker) WebSocketURL() string {
	return cmp.Or(b.listeners.url("ws"), b.listeners.url("wss"))
}

// Counts returns the counts so far. It must not be called by an observer.
func (b *Broker) Counts() (counts Counts) {
	b.core.locked(func() { counts = b.core.counts })
	counts.Refused = b.core.traffic.refused.Load()
	return counts
}

// Dropped is Counts().Dropped().
func (b *Broker) Dropped() int64 { return b.Counts().Dropped() }

// Stats returns what the broker has now; the same is published below $SYS/broker, see
// [SysEvery]. It goes through all sessions, and must not be called by an
// observer.
func (b *Broker) Stats() (s Stats) {
	b.core.locked(func() { s = b.core.stats() })
	return s
}

// Sessions lists the sessions by client id. It must not be called by an
// observer.
func (b *Broker) Sessions() (list []Session) {
	b.core.locked(func() { list = describe(b.core.sessions) })
	return list
}

// Retained lists the topics of the retained messages, sorted. It must not be
// called by an observer.
func (b *Broker) Retained() (topics []string) {
	b.core.locked(func() { topics = slices.Sorted(maps.Keys(b.core.retained.byTopic)) })
	return topics
}

// Recovered is what the last Start found in the file of [WithFile]. It must not be
// called by an observer.
func (b *Broker) Recovered() (r Recovery) {
	b.core.locked(func() { r = b.core.recovery })
	return r
}
