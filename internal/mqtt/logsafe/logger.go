package logsafe

// Logger writes log lines. A line is a message, which is the same text each time, and
// fields: the keys of this package and their values by turns. A front implements it with the
// logger of its framework. The implementation makes untrusted values printable with [Fields],
// so that no text can end a line or control a terminal. It is called directly, so that a
// "caller" field names the code that logged, and is safe for concurrent use.
type Logger interface {
	// Debug logs a detail.
	Debug(message string, fields ...any)
	// Info logs a change of state that needs nobody's attention.
	Info(message string, fields ...any)
	// Warn logs a condition that may need attention: something waits, is tried again or
	// was left out, and nothing that was accepted is lost.
	Warn(message string, fields ...any)
	// Error logs a failure that needs somebody: a message is not tried any more, or
	// something does not work until it is repaired.
	Error(message string, fields ...any)
	// Panic logs a panic with its stack trace, which keeps its lines.
	Panic(message string, stack []byte, fields ...any)
}

// Log is a logger with the limits of its lines. Without a Limiter it limits nothing.
type Log struct {
	Logger
	*Limiter
}

// Silence logs nothing.
var Silence Logger = silence{} //nolint:gochecknoglobals // does not change

type silence struct{}

func (silence) Debug(string, ...any)         {}
func (silence) Info(string, ...any)          {}
func (silence) Warn(string, ...any)          {}
func (silence) Error(string, ...any)         {}
func (silence) Panic(string, []byte, ...any) {}

// Keys of fields. Those of OpenTelemetry's conventions have the names that spans and metrics
// have, too; the others begin with kratosmqtt.
const (
	KeyClientID  = "messaging.client.id"
	KeyAddress   = "server.address"
	KeyTopic     = "messaging.destination.name"
	KeyFilter    = "messaging.destination.template"
	KeyOperation = "messaging.destination.subscription.name"
	KeyMessageID = "messaging.message.id"
	// KeyError has an error; the line then also has its KeyErrorType, if that is known.
	KeyError     = "error.message"
	KeyErrorType = "error.type"

	// KeyRPCMethod and KeyStatus describe requests of HTTP and gRPC, in the reference service.
	KeyRPCMethod = "rpc.method"
	KeyStatus    = "http.response.status_code"

	KeyAttempts    = "kratosmqtt.attempts"
	KeyCount       = "kratosmqtt.count"
	KeyTotal       = "kratosmqtt.total" // since the start of the process
	KeyDuration    = "kratosmqtt.duration"
	KeyRetryIn     = "kratosmqtt.retry_in"
	KeyUntil       = "kratosmqtt.until"
	KeyOrderingKey = "kratosmqtt.ordering_key"
	KeyLetterID    = "kratosmqtt.letter.id"
	KeyDestination = "kratosmqtt.letter.destination"
	KeyOmitted     = "kratosmqtt.letter.omitted"
	KeyOrigin      = "kratosmqtt.letter.origin"
	KeyOwner       = "kratosmqtt.letter.owner"
	KeyReason      = "kratosmqtt.letter.reason"
	KeyQoS         = "kratosmqtt.qos"
	KeyAsked       = "kratosmqtt.asked"
	KeyAlsoWaiting = "kratosmqtt.also_waiting"
	KeyLoss        = "kratosmqtt.loss.kind"
	KeyNames       = "kratosmqtt.names"
	KeyBy          = "kratosmqtt.pause.by"
	KeyWhy         = "kratosmqtt.pause.reason"
	KeyState       = "kratosmqtt.state"
	KeyPresent     = "kratosmqtt.session_present"
	KeyFill        = "kratosmqtt.outbox.fill"
	KeySource      = "kratosmqtt.sequence.source"
	KeyNumber      = "kratosmqtt.sequence.number"
	KeyExpected    = "kratosmqtt.sequence.expected"
	KeyField       = "kratosmqtt.field"
	KeyValue       = "kratosmqtt.value"
	// KeyPanic has the value of a panic.
	KeyPanic = "exception.message"
	// KeySuppressed counts lines of the same kind that were left out since the last one.
	KeySuppressed = "kratosmqtt.suppressed"
	// KeyKind names the kind of the suppressed lines.
	KeyKind = "kratosmqtt.kind"
)
