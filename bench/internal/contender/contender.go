// Package contender adapts all compared clients to the same two interfaces, a publisher
// and a subscriber, each used in its natural way.
package contender

import (
	"crypto/tls"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/tx7do/kratos-transport/broker"

	"google.golang.org/protobuf/proto"

	"github.com/kratos-mqtt/kratos-mqtt/bench/internal/reading"
)

// Window is how many publishes are in flight in a pipeline.
const Window = 256

// Target describes how to connect.
type Target struct {
	// Host is host:port.
	Host string
	// TLS is nil for a plain connection.
	TLS *tls.Config
	// Version is 4 (MQTT 3.1.1) or 5.
	Version byte
	// Observed are further options of our own contenders.
	Observed []broker.Option
}

func (t Target) url(plain, secure string) string {
	if t.TLS != nil {
		return secure + "://" + t.Host
	}
	return plain + "://" + t.Host
}

// Publisher is a connection that publishes at QoS 1.
type Publisher struct {
	// Wait publishes one message and waits for its acknowledgement.
	Wait func(*Work) error
	// Pipeline publishes until the work is stopped, with up to [Window] messages in
	// flight, and returns once all are acknowledged. It is nil if the client cannot do
	// so from one goroutine.
	Pipeline func(*Work) error
	Close    func()
}

// Subscription configures a subscriber.
type Subscription struct {
	Filter string
	QoS    byte
	// Handle takes payloads as bytes, Typed takes decoded ones. Exactly one is set.
	Handle func(payload []byte)
	Typed  func(*reading.Reading)
	// Concurrency is the number of workers; 0 is the client's default. Only our clients
	// support it.
	Concurrency int
	// Others are additional filters that never match.
	Others []string
}

// OpenPublisher connects a publisher.
type OpenPublisher func(Target) (*Publisher, error)

// OpenSubscriber connects and subscribes. The returned function ends both.
type OpenSubscriber func(Target, *Subscription) (stop func(), err error)

// Work is the work of a publisher and its progress.
type Work struct {
	Topic string
	// Message is marshalled for each publish; if it is nil, Payload is published.
	Message *reading.Reading
	Payload []byte

	Stopped atomic.Bool
	// Done counts acknowledged messages.
	Done atomic.Int64

	mu  sync.Mutex
	err error
}

func (w *Work) payload() ([]byte, error) {
	if w.Message == nil {
		return w.Payload, nil
	}
	return proto.Marshal(w.Message)
}

// ack records the outcome of one publish.
func (w *Work) ack(err error) {
	if err != nil {
		w.Fail(err)
	}
	w.Done.Add(1)
}

// Fail records the first error and stops the work.
func (w *Work) Fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.err = err
	}
	w.Stopped.Store(true)
}

// Err returns the first error.
func (w *Work) Err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

var clients atomic.Int64

// clientID returns a new client id.
func clientID() string { return fmt.Sprintf("bench-%d", clients.Add(1)) }

var errRefused = errors.New("subscription refused")

func decode(payload []byte, f func(*reading.Reading)) error {
	m := new(reading.Reading)
	if err := proto.Unmarshal(payload, m); err != nil {
		return err
	}
	f(m)
	return nil
}
