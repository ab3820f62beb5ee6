// Package contender gives every client that is compared the same two shapes, a
// publisher and a subscriber, each in the way that is natural for it.
package contender

import (
	"crypto/tls"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"google.golang.org/protobuf/proto"

	"github.com/kratos-mqtt/kratos-mqtt/bench/internal/reading"
)

// Window is how many publishes are in flight in a pipeline.
const Window = 256

// Target is where and how to connect.
type Target struct {
	// Host is host:port.
	Host string
	// TLS is nil for a plain connection.
	TLS *tls.Config
	// Version is 4 (MQTT 3.1.1) or 5.
	Version byte
}

func (t Target) url(plain, secure string) string {
	if t.TLS != nil {
		return secure + "://" + t.Host
	}
	return plain + "://" + t.Host
}

// Publisher is a connection to publish on with QoS 1.
type Publisher struct {
	// Wait publishes one message and returns when it is acknowledged.
	Wait func(*Work) error
	// Pipeline publishes until the work is stopped, with up to [Window] in
	// flight, and returns when all are acknowledged. Nil where the client has
	// no way to do so from one goroutine.
	Pipeline func(*Work) error
	Close    func()
}

// Subscription is what a subscriber does.
type Subscription struct {
	Filter string
	QoS    byte
	// Handle takes payloads as they are, Typed decoded ones. One of them.
	Handle func(payload []byte)
	Typed  func(*reading.Reading)
	// Concurrency is the number of workers; 0 is the client's default. Only
	// our clients have it.
	Concurrency int
	// Others are filters that never match, subscribed to beside.
	Others []string
}

// OpenPublisher connects a publisher.
type OpenPublisher func(Target) (*Publisher, error)

// OpenSubscriber connects, subscribes and returns what ends both.
type OpenSubscriber func(Target, *Subscription) (stop func(), err error)

// Work is what a publisher publishes, and how far it has come.
type Work struct {
	Topic string
	// Message is marshalled for each publish; nil publishes Payload.
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

// ack takes the outcome of one publish.
func (w *Work) ack(err error) {
	if err != nil {
		w.Fail(err)
	}
	w.Done.Add(1)
}

// Fail notes the first error and stops the work.
func (w *Work) Fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.err = err
	}
	w.Stopped.Store(true)
}

// Err is the first error.
func (w *Work) Err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

var clients atomic.Int64

// clientID gives every connection its own.
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
