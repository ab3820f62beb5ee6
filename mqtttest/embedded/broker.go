package embedded

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
)

// goodbye is how long a client may take to receive the DISCONNECT that tells
// it that the broker stops.
const goodbye = 500 * time.Millisecond

// errRunning answers a second Start.
var errRunning = errors.New("embedded broker: already started")

// Broker is an in-memory MQTT broker. Its methods are safe for concurrent use.
type Broker struct {
	config *config

	mu        sync.Mutex
	server    *mochi.Server // nil while there are no sessions
	listeners []*listener   // nil while stopped
}

// New checks the options and reports every problem at once. It opens nothing;
// [Broker.Start] does.
func New(opts ...Option) (*Broker, error) {
	cfg, err := newConfig(opts)
	if err != nil {
		return nil, err
	}
	return &Broker{config: cfg}, nil
}

// Start opens the addresses and returns when clients can connect. An address
// that cannot be opened is an error that names it and wraps the one of the
// system. ctx bounds Start only.
func (b *Broker) Start(ctx context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.listeners != nil {
		return errRunning
	}
	return b.open(ctx)
}

// Close disconnects everybody, closes the addresses and forgets sessions and
// retained messages. It waits for its goroutines until ctx ends and then
// returns ctx's error. Closing a broker that is not started does nothing.
// Start after Close works.
func (b *Broker) Close(ctx context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return errors.Join(b.disconnect(ctx), b.forget(ctx))
}

// Restart closes what is open and starts again on the same addresses, with the
// sessions and retained messages there were, or without. Clients see their
// connection end and, until Restart returns, connections refused.
func (b *Broker) Restart(ctx context.Context, keepSessions bool) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.disconnect(ctx); err != nil {
		return err
	}
	if !keepSessions {
		if err := b.forget(ctx); err != nil {
			return err
		}
	}
	return b.open(ctx)
}

// Suspend disconnects everybody and closes the addresses, but keeps sessions
// and retained messages: the next Start has them, on the same addresses. It
// does nothing on a stopped broker.
func (b *Broker) Suspend(ctx context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.disconnect(ctx)
}

// open opens the listeners and, if there is none, makes a server.
func (b *Broker) open(ctx context.Context) error {
	var opened []*listener
	for _, e := range b.config.listeners {
		l, err := listen(ctx, e, b.config.maximumPacket, b.config.log)
		if err != nil {
			for _, l := range opened {
				_ = l.Close()
			}
			return err
		}
		opened = append(opened, l)
	}
	if b.server == nil {
		server, err := newServer(b.config)
		if err != nil {
			return err
		}
		b.server = server
	}
	for i, l := range opened {
		b.config.listeners[i].address = l.Addr().String() // the same port after a restart
		l.run(b.server.EstablishConnection)
	}
	b.listeners = opened
	return nil
}

// disconnect closes the listeners and the connections, MQTT 5 clients with a
// reason, and waits for their goroutines.
func (b *Broker) disconnect(ctx context.Context) error {
	if b.listeners == nil {
		return nil
	}
	for _, l := range b.listeners {
		_ = l.Close()
		l.limitWrites(time.Now().Add(goodbye))
	}
	var told sync.WaitGroup
	for _, cl := range b.server.Clients.GetAll() {
		if cl.Properties.ProtocolVersion == 5 && !cl.Closed() { // before MQTT 5 a server sends no DISCONNECT
			told.Go(func() { _ = b.server.DisconnectClient(cl, packets.ErrServerShuttingDown) })
		}
	}
	told.Wait() // goodbye at most
	var gone sync.WaitGroup
	for _, l := range b.listeners {
		l.closeConns()
		gone.Go(l.wg.Wait)
	}
	b.listeners = nil
	return wait(ctx, gone.Wait)
}

// forget ends the server and with it sessions and retained messages.
func (b *Broker) forget(ctx context.Context) error {
	if b.server == nil {
		return nil
	}
	server := b.server
	b.server = nil
	return wait(ctx, func() { _ = server.Close() })
}

func wait(ctx context.Context, f func()) error {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("embedded broker: connections still closing: %w", ctx.Err())
	}
}

func newServer(cfg *config) (*mochi.Server, error) {
	capabilities := mochi.NewDefaultServerCapabilities()
	capabilities.MaximumPacketSize = cfg.maximumPacket
	capabilities.MaximumClients = cfg.maximumClients
	capabilities.MaximumInflight = math.MaxUint16 // what a session queues while its client is away
	capabilities.MaximumClientWritesPending = 1 << 15
	capabilities.MaximumMessageExpiryInterval = 0 // else every MQTT 5 message is sent with an expiry of its own
	server := mochi.New(&mochi.Options{
		Capabilities:           capabilities,
		Logger:                 cfg.log,
		SysTopicResendInterval: 10,
	})
	err := errors.Join(
		server.AddHook(&admission{user: cfg.user, password: cfg.password}, nil),
		server.AddHook(new(sequence), nil),
		server.AddHook(newHandover(server), nil),
		server.Serve(),
	)
	if err != nil {
		return nil, fmt.Errorf("embedded broker: %w", err)
	}
	return server, nil
}
