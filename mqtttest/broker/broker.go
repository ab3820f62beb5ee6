package broker

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Broker is a running broker. Its methods may be called from any goroutine;
// those that say so not from an observer.
type Broker struct {
	script

	options options
	wg      sync.WaitGroup

	control   sync.Mutex // serialises Start, Stop and Kill
	listen    sync.Mutex // guards the three below
	listeners []*listener
	running   bool
	conns     map[*conn]struct{}

	refused        atomic.Int64 // connections above the bound
	received, sent atomic.Int64 // bytes

	mu       sync.Mutex // guards all below, and the sessions
	counts   Counts
	sessions map[string]*session
	exact    map[string][]*subscription
	wild     tree
	groups   map[string]*group
	routes   map[string]*route
	retained map[string]*message
	saved    *snapshot
	changes  int
	saver    *time.Timer
	scratch  []byte

	retainedBytes int
	journal       *journal // nil while the broker is stopped, and without a file
	numbers       uint64   // given to what the journal names
	generation    uint64   // of the journal's file, see [message]
	recovery      Recovery

	began time.Time // of the run, zero while the broker is stopped
	sys   *time.Timer
	told  map[string]string // below $SYS/broker
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
	b := &Broker{options: o, listeners: o.listeners, conns: make(map[*conn]struct{})}
	b.faults.init(o.seed)
	b.forget()
	b.saved = b.snapshot()
	for _, f := range o.faults {
		if _, err := b.Inject(f); err != nil {
			return nil, err
		}
	}
	if err := b.Start(); err != nil {
		return nil, err
	}
	return b, nil
}

// forget makes the state empty.
func (b *Broker) forget() {
	for _, s := range b.sessions {
		stopTimer(&s.timer)
		stopTimer(&s.willTime)
	}
	b.sessions = make(map[string]*session)
	b.exact = make(map[string][]*subscription)
	b.wild = tree{}
	b.groups = make(map[string]*group)
	b.routes = make(map[string]*route)
	b.retained = make(map[string]*message)
	b.retainedBytes = 0
}

// Start starts a stopped or killed broker again on the same address, with the
// sessions that were kept. Start of a running broker does nothing.
func (b *Broker) Start() error {
	b.control.Lock()
	defer b.control.Unlock()
	b.listen.Lock()
	if b.running {
		b.listen.Unlock()
		return nil
	}
	b.running = true
	b.listen.Unlock()
	err := b.recover()
	if err == nil {
		err = b.open()
	}
	if err != nil {
		b.listen.Lock()
		b.running = false
		b.listen.Unlock()
		b.closeJournal(false)
		return err
	}
	b.locked(func() { b.startSaving(); b.startSys() })
	return nil
}

// Stop ends the broker in order: clients of MQTT 5 are told (0x8B), state is
// saved. Wills are not published. It returns when all has ended; sessions stay,
// in memory or in the file of [WithFile], for Start. It must not be called by an
// observer.
func (b *Broker) Stop() {
	b.control.Lock()
	defer b.control.Unlock()
	if !b.halt() {
		return
	}
	b.locked(func() {
		for _, s := range b.sessions {
			if s.conn == nil {
				continue
			}
			c := s.conn
			s.will = nil
			s.detach(true)
			c.dismiss(reasonShuttingDown)
		}
		b.save()
		b.stopSaving()
		b.stopSys()
	})
	b.thaw()
	b.each(func(c *conn) {
		if !c.out.last() {
			c.close()
		}
	})
	b.wg.Wait()
	b.closeJournal(false)
}

// Close is Stop, and waits for what faults have called, see [Call].
func (b *Broker) Close() {
	b.Stop()
	b.calls.Wait()
}

// halt closes the port and reports whether the broker ran.
func (b *Broker) halt() bool {
	b.listen.Lock()
	ran := b.running
	b.running = false
	b.listen.Unlock()
	b.shut()
	return ran
}

// dismiss ends a connection that is dead already, with a DISCONNECT on MQTT 5.
func (c *conn) dismiss(code byte) {
	if c.version == 5 {
		c.out.put([]byte{byte(Disconnect) << 4, 1, code}, 0, goOn)
	}
	c.out.put(nil, 0, fin)
}

// each calls f for every connection.
func (b *Broker) each(f func(*conn)) {
	b.listen.Lock()
	list := make([]*conn, 0, len(b.conns))
	for c := range b.conns {
		list = append(list, c)
	}
	b.listen.Unlock()
	for _, c := range list {
		f(c)
	}
}

func (b *Broker) locked(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f()
}

func randomID() string {
	var b [8]byte
	_, _ = rand.Read(b[:])
	return "auto-" + hex.EncodeToString(b[:])
}
