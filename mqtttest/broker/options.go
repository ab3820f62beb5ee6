package broker

import (
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// Option configures a [Broker].
type Option func(*options)

type options struct {
	listeners        []*listener // the plain one first
	anywhere         bool
	log              *slog.Logger
	maxConnections   int
	maxInflight      int
	receiveMaximum   int
	maxQueued        int
	maxQueuedBytes   int
	maxSessions      int
	maxRetained      int
	maxRetainedBytes int
	maxSubscriptions int
	file             string
	openFile         func(path string) (journalFile, error)
	sysEvery         time.Duration
	syncEvery        time.Duration
	maxPacket        int
	announcePacket   bool
	maxQoS           byte
	aliasMaximum     int
	copies           bool
	stay             bool
	saveEvery        time.Duration
	saveAfter        int
	script           scriptOptions
	authenticate     func(clientID, user, password string) byte
}

func defaults() options {
	return options{
		listeners: []*listener{{scheme: "mqtt", address: "127.0.0.1:0"}}, log: slog.New(slog.DiscardHandler),
		maxConnections: 10_000, maxInflight: 20, receiveMaximum: 20, maxQueued: 1_000_000, maxQueuedBytes: 64 << 20,
		maxSessions: 100_000, maxRetained: 100_000, maxRetainedBytes: 64 << 20, maxSubscriptions: 10_000, syncEvery: time.Second, openFile: openJournalFile, sysEvery: 10 * time.Second,
		maxPacket: 16 << 20, maxQoS: 2, aliasMaximum: 10,
	}
}

func (o *options) validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	for _, l := range o.listeners {
		if err := l.validate(o.anywhere); err != nil {
			errs = append(errs, err)
		}
	}
	if o.log == nil {
		bad("nil logger")
	}
	if o.maxConnections < 1 {
		bad("%d connections, want at least 1", o.maxConnections)
	}
	if o.maxInflight < 1 || o.maxInflight > defaultMaximum {
		bad("%d messages in flight, want 1 to 65535", o.maxInflight)
	}
	if o.receiveMaximum < 0 || o.receiveMaximum > defaultMaximum {
		bad("receive maximum %d, want 0 to 65535", o.receiveMaximum)
	}
	if o.maxQueued < 0 {
		bad("%d queued messages", o.maxQueued)
	}
	for name, n := range map[string]int{
		"bytes in a queue": o.maxQueuedBytes, "sessions": o.maxSessions, "retained messages": o.maxRetained,
		"bytes of retained messages": o.maxRetainedBytes, "subscriptions of a session": o.maxSubscriptions,
	} {
		if n < 1 {
			bad("%d %s, want at least 1", n, name)
		}
	}
	if o.syncEvery < 0 || o.sysEvery < 0 {
		bad("file written through every %v, $SYS told every %v", o.syncEvery, o.sysEvery)
	}
	if o.file != "" && (o.saveEvery > 0 || o.saveAfter > 0) {
		bad("saving now and then is for a broker without a file")
	}
	if o.maxPacket < 1 || o.maxPacket > 268_435_455 {
		bad("packets of %d bytes, want 1 to 268435455", o.maxPacket)
	}
	if o.maxQoS > 2 {
		bad("maximum QoS %d", o.maxQoS)
	}
	if o.aliasMaximum < 0 || o.aliasMaximum > 65535 {
		bad("topic alias maximum %d, want 0 to 65535", o.aliasMaximum)
	}
	if o.saveEvery < 0 || o.saveAfter < 0 {
		bad("saving every %v, after %d changes", o.saveEvery, o.saveAfter)
	}
	errs = append(errs, o.script.validate())
	return errors.Join(errs...)
}

// WithAddress is where the broker listens for plain MQTT, host:port. Default: a
// free port of the loopback interface, which stays the same over Stop and Start.
func WithAddress(address string) Option { return func(o *options) { o.listeners[0].address = address } }

// WithTLS adds a listener for MQTT over TLS.
func WithTLS(address string, config *tls.Config) Option {
	return func(o *options) {
		o.listeners = append(o.listeners, &listener{scheme: "mqtts", address: address, tls: config})
	}
}

// WithWebSocket adds a listener for MQTT over WebSocket, over TLS too when config
// is not nil. Every path is accepted; pages of another origin are refused.
func WithWebSocket(address string, config *tls.Config) Option {
	scheme := "ws"
	if config != nil {
		scheme = "wss"
	}
	return func(o *options) {
		o.listeners = append(o.listeners, &listener{scheme: scheme, address: address, tls: config})
	}
}

// AllowNonLoopback permits addresses that other machines can reach. The broker is
// not made for that: use it in closed networks only. Default: such an address is
// an error, see [ErrNotLoopback].
func AllowNonLoopback() Option { return func(o *options) { o.anywhere = true } }

// WithLogger makes the broker tell there what goes wrong inside. Default: it is
// silent.
func WithLogger(log *slog.Logger) Option { return func(o *options) { o.log = log } }

// MaxConnections is how many connections the broker has at a time. One above it
// is closed as soon as it is made, and counted as Refused. Default: 10,000.
func MaxConnections(n int) Option { return func(o *options) { o.maxConnections = n } }

// MaxInflight is how many messages of QoS 1 and 2 a client gets before it has
// to acknowledge one; a smaller Receive Maximum of an MQTT 5 client counts.
// Default: 20.
func MaxInflight(n int) Option { return func(o *options) { o.maxInflight = n } }

// ReceiveMaximum is what MQTT 5 clients are told; who exceeds it with QoS 2 is
// disconnected with 0x93 [MQTT-3.3.4-9]. 0 tells them nothing, which means
// 65,535. Default: 20.
func ReceiveMaximum(n int) Option { return func(o *options) { o.receiveMaximum = n } }

// MaxQueued bounds the messages that wait in one session, besides those in
// flight; what comes on top is dropped and counted. 0 is no bound. Default:
// 1,000,000.
func MaxQueued(n int) Option { return func(o *options) { o.maxQueued = n } }

// MaxQueuedBytes bounds the topics, properties and payloads of the messages that
// one session has not acknowledged, and besides them the bytes that wait to be
// written to a connection before messages of QoS 0 are dropped. What comes on top
// is dropped and counted. Default: 64 MiB.
func MaxQueuedBytes(n int) Option { return func(o *options) { o.maxQueuedBytes = n } }

// MaxSessions is how many sessions the broker keeps, connected or not. A client
// that would begin one more is refused with 0x97, MQTT 3.1.1 with code 3, and
// counted. Default: 100,000.
func MaxSessions(n int) Option { return func(o *options) { o.maxSessions = n } }

// MaxRetained bounds the retained messages by their number and by the bytes of
// their topics, properties and payloads. A message above a bound is refused with
// 0x97 where its sender can be told: on MQTT 5 at QoS 1 and 2. Else it goes to the
// subscribers of now, is not retained, and is counted. Default: 100,000, 64 MiB.
func MaxRetained(n, bytes int) Option {
	return func(o *options) { o.maxRetained, o.maxRetainedBytes = n, bytes }
}

// MaxSubscriptions is how many filters one session may subscribe to. One more is
// refused with 0x97, on MQTT 3.1.1 with 0x80. Default: 10,000.
func MaxSubscriptions(n int) Option { return func(o *options) { o.maxSubscriptions = n } }

// WithFile keeps sessions that outlive their connection, with their subscriptions
// and unacknowledged messages, and retained messages in a file, which is made
// together with its folder. What the broker has acknowledged is in the file, and
// there again after the process was killed and started again. What the system has
// when it fails, see [SyncEvery]. Wills, and sessions that end with their
// connection, are not kept.
//
// One broker at a time has the file; a second one is refused. The file is an
// append-only log with checksums, which is compacted when it exceeds twice what
// lives in it by 16 MiB. A damaged end does not stop the start: it is cut, logged
// and counted, see [Recovery]. While the disk is full nothing is acknowledged, and
// after 32 MiB nothing is read. Default: everything is in memory.
func WithFile(path string) Option { return func(o *options) { o.file = path } }

// SyncEvery is how often the file of [WithFile] is written through to the disk,
// which a failure of power or system needs; a kill of the process does not. 0
// writes through before every acknowledgement, many of them at a time: then
// nothing acknowledged is lost by a failure either. Default: 1 s, which is what a
// failure may lose.
func SyncEvery(d time.Duration) Option { return func(o *options) { o.syncEvery = d } }

// MaxPacket is the largest packet in bytes, without its header, that the broker
// takes; MQTT 5 clients are told. Default: 16 MiB, not announced.
func MaxPacket(bytes int) Option {
	return func(o *options) { o.maxPacket, o.announcePacket = bytes, true }
}

// MaxQoS is the highest QoS that the broker grants and takes. Default: 2.
func MaxQoS(qos byte) Option { return func(o *options) { o.maxQoS = qos } }

// AliasMaximum is how many topic aliases an MQTT 5 client may use. Default: 10.
func AliasMaximum(n int) Option { return func(o *options) { o.aliasMaximum = n } }

// CopyPerSubscription sends a client whose subscriptions overlap one copy for
// each of them, as some brokers do. Default: one copy with the highest QoS.
func CopyPerSubscription() Option { return func(o *options) { o.copies = true } }

// SharedStaysWithSession keeps messages of a shared group with the member that
// they were given to, also when its session ends: then they are lost, counted
// as EndedWithSession. Default: they go to another member.
func SharedStaysWithSession() Option { return func(o *options) { o.stay = true } }

// SaveEvery makes the broker save its state only now and then, as Mosquitto
// does: [Broker.Kill] loses what changed since the last time. Default: every
// change is safe when it is acknowledged.
func SaveEvery(d time.Duration) Option { return func(o *options) { o.saveEvery = d } }

// SaveAfter saves after that many changes, see [SaveEvery]. Both may be set;
// a large number alone saves on [Broker.Save] and [Broker.Stop] only.
func SaveAfter(changes int) Option { return func(o *options) { o.saveAfter = changes } }

// SysEvery is how often who subscribes below $SYS/broker is told what has changed
// there: at QoS 0, with the names that Mosquitto has. A new subscription gets all at
// once. Nobody else may publish below $SYS. 0 tells it to new subscriptions only.
// Default: 10 s. [Broker.Stats] has the same.
func SysEvery(d time.Duration) Option { return func(o *options) { o.sysEvery = d } }

// WithAuthentication asks f about every CONNECT that the faults let pass. 0
// accepts, other codes are those of MQTT 5; an MQTT 3.1.1 client gets the
// nearest. F may be called for several clients at the same time. Default:
// everybody is accepted.
func WithAuthentication(f func(clientID, user, password string) (code byte)) Option {
	return func(o *options) { o.authenticate = f }
}

// WithUsers admits only these users, each with its password; others are refused
// with 0x86. It replaces [WithAuthentication]. Who may publish or subscribe to
// what is not checked.
func WithUsers(passwords map[string]string) Option {
	known := make(map[string][sha256.Size]byte, len(passwords))
	for user, password := range passwords {
		known[user] = sha256.Sum256([]byte(password))
	}
	return WithAuthentication(func(_, user, password string) byte {
		want, ok := known[user]
		got := sha256.Sum256([]byte(password))
		if subtle.ConstantTimeCompare(want[:], got[:]) != 1 || !ok {
			return reasonCredentials
		}
		return 0
	})
}
