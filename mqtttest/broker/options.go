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
	nodes            int
	placement        Placement
	share            Strategy
	shareAway        bool
	spreadAfter      time.Duration
	staleFor         time.Duration
	saveEvery        time.Duration
	saveAfter        int
	script           scriptOptions
	authenticate     func(clientID, user, password string) byte
	method           string
	exchange         func(clientID string) Exchange
}

func defaults() options {
	return options{
		listeners: []*listener{{scheme: "mqtt", address: "127.0.0.1:0"}}, log: slog.New(slog.DiscardHandler),
		maxConnections: 10_000, maxInflight: 20, receiveMaximum: 20, maxQueued: 1_000_000, maxQueuedBytes: 64 << 20,
		maxSessions: 100_000, maxRetained: 100_000, maxRetainedBytes: 64 << 20, maxSubscriptions: 10_000, syncEvery: time.Second, openFile: openJournalFile, sysEvery: 10 * time.Second,
		maxPacket: 16 << 20, maxQoS: 2, aliasMaximum: 10, nodes: 1,
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
		bad("file flushed every %v, $SYS published every %v", o.syncEvery, o.sysEvery)
	}
	if o.file != "" && (o.saveEvery > 0 || o.saveAfter > 0) {
		bad("periodic saving is only for a broker without a file")
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
	errs = append(errs, o.validateCluster(), o.script.validate())
	return errors.Join(errs...)
}

// WithAddress sets the address of the plain MQTT listener, host:port. Default: a free port of
// the loopback interface, which Stop and Start do not change.
func WithAddress(address string) Option { return func(o *options) { o.listeners[0].address = address } }

// WithTLS adds a listener for MQTT over TLS.
func WithTLS(address string, config *tls.Config) Option {
	return func(o *options) {
		o.listeners = append(o.listeners, &listener{scheme: "mqtts", address: address, tls: config})
	}
}

// WithWebSocket adds a listener for MQTT over WebSocket, with TLS if config is not nil. Every
// path is accepted; pages of another origin are refused.
func WithWebSocket(address string, config *tls.Config) Option {
	scheme := "ws"
	if config != nil {
		scheme = "wss"
	}
	return func(o *options) {
		o.listeners = append(o.listeners, &listener{scheme: scheme, address: address, tls: config})
	}
}

// AllowNonLoopback permits addresses that other machines can reach. The broker is not made for
// that: use it in closed networks only. Default: such an address is an error, see
// [ErrNotLoopback].
func AllowNonLoopback() Option { return func(o *options) { o.anywhere = true } }

// WithLogger sets the logger for internal errors. Default: nothing is logged.
func WithLogger(log *slog.Logger) Option { return func(o *options) { o.log = log } }

// MaxConnections limits the number of connections. Further ones are closed at once and counted
// as Refused. Default: 10,000.
func MaxConnections(n int) Option { return func(o *options) { o.maxConnections = n } }

// MaxInflight limits the number of unacknowledged QoS 1 and 2 messages sent to a client; the
// Receive Maximum of an MQTT 5 client applies if it is smaller. Default: 20.
func MaxInflight(n int) Option { return func(o *options) { o.maxInflight = n } }

// ReceiveMaximum is the Receive Maximum announced to MQTT 5 clients. A client that exceeds it
// with QoS 2 messages is disconnected with 0x93 [MQTT-3.3.4-9]. 0 announces none, which means
// 65,535. Default: 20.
func ReceiveMaximum(n int) Option { return func(o *options) { o.receiveMaximum = n } }

// MaxQueued limits the number of messages that wait in one session, in addition to those in
// flight. Further messages are dropped and counted. 0 means no limit. Default: 1,000,000.
func MaxQueued(n int) Option { return func(o *options) { o.maxQueued = n } }

// MaxQueuedBytes limits the bytes (topic, properties and payload) of the messages that one
// session has not acknowledged. Further messages are dropped and counted. It also limits the
// bytes that wait to be written to a connection, beyond which QoS 0 messages are dropped.
// Default: 64 MiB.
func MaxQueuedBytes(n int) Option { return func(o *options) { o.maxQueuedBytes = n } }

// MaxSessions limits the number of sessions, connected or not. A client that would start
// another one is refused with 0x97 (MQTT 3.1.1: code 3) and counted. Default: 100,000.
func MaxSessions(n int) Option { return func(o *options) { o.maxSessions = n } }

// MaxRetained limits the number of retained messages and their bytes (topic, properties and
// payload). On MQTT 5 at QoS 1 and 2, a message that exceeds a limit is refused with 0x97.
// Otherwise it is delivered to current subscribers but not retained, and counted. Default:
// 100,000 and 64 MiB.
func MaxRetained(n, bytes int) Option {
	return func(o *options) { o.maxRetained, o.maxRetainedBytes = n, bytes }
}

// MaxSubscriptions limits the number of filters of one session. Further ones are refused with
// 0x97 (MQTT 3.1.1: 0x80). Default: 10,000.
func MaxSubscriptions(n int) Option { return func(o *options) { o.maxSubscriptions = n } }

// WithFile stores retained messages, and sessions that outlive their connection, with their
// subscriptions and unacknowledged messages, in a file. The file and its folder are created.
// Everything that the broker has acknowledged is in the file and survives a kill of the
// process; for a failure of the system see [SyncEvery]. Wills, and sessions that end with
// their connection, are not stored.
//
// Only one broker can use the file; a second one is refused. The file is an append-only log
// with checksums. It is compacted when it is more than 16 MiB larger than twice its live
// content. A damaged end does not prevent the start: it is removed, logged and counted, see
// [Recovery]. While the disk is full nothing is acknowledged, and after 32 MiB nothing is
// read. Default: everything is kept in memory.
func WithFile(path string) Option { return func(o *options) { o.file = path } }

// SyncEvery sets how often the file of [WithFile] is flushed to disk (fsync). This protects
// against a failure of power or system, which may lose the changes since the last flush; a
// kill of the process loses nothing. 0 flushes before acknowledgements, many of them at a
// time, so that nothing acknowledged is ever lost. Default: 1 s.
func SyncEvery(d time.Duration) Option { return func(o *options) { o.syncEvery = d } }

// MaxPacket limits the size in bytes of packets from clients, without the fixed header. It is
// announced to MQTT 5 clients, except the default. Default: 16 MiB.
func MaxPacket(bytes int) Option {
	return func(o *options) { o.maxPacket, o.announcePacket = bytes, true }
}

// MaxQoS limits the QoS of subscriptions and messages. Default: 2.
func MaxQoS(qos byte) Option { return func(o *options) { o.maxQoS = qos } }

// AliasMaximum is the number of topic aliases that an MQTT 5 client may use. Default: 10.
func AliasMaximum(n int) Option { return func(o *options) { o.aliasMaximum = n } }

// CopyPerSubscription sends one copy of a message for each overlapping subscription of a
// client, as some brokers do. Default: one copy at the highest QoS.
func CopyPerSubscription() Option { return func(o *options) { o.copies = true } }

// SharedStaysWithSession keeps messages of a shared group with the member that they were
// assigned to, even if its session ends: then they are lost, and counted as EndedWithSession.
// Default: they go to another member.
func SharedStaysWithSession() Option { return func(o *options) { o.stay = true } }

// SaveEvery makes the broker save its state only periodically, as Mosquitto does:
// [Broker.Kill] loses the changes since the last save. Default: every change is safe when it
// is acknowledged.
func SaveEvery(d time.Duration) Option { return func(o *options) { o.saveEvery = d } }

// SaveAfter saves after a number of changes, see [SaveEvery]. Both may be set; with a large
// number alone, only [Broker.Save] and [Broker.Stop] save.
func SaveAfter(changes int) Option { return func(o *options) { o.saveAfter = changes } }

// SysEvery sets how often changed values are published under $SYS/broker, at QoS 0 and with
// the names that Mosquitto uses. A new subscription receives all values at once. Clients
// cannot publish under $SYS. 0 sends values to new subscriptions only. Default: 10 s.
// [Broker.Stats] has the same values.
func SysEvery(d time.Duration) Option { return func(o *options) { o.sysEvery = d } }

// WithAuthentication calls f for every CONNECT that the faults let pass. A code of 0 accepts;
// other codes are those of MQTT 5, and an MQTT 3.1.1 client gets the nearest one. f may be
// called concurrently. Default: every client is accepted.
func WithAuthentication(f func(clientID, user, password string) (code byte)) Option {
	return func(o *options) { o.authenticate = f }
}

// WithUsers accepts only these users, with their passwords; others are refused with 0x86. It
// replaces [WithAuthentication]. There are no access rules for topics.
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
