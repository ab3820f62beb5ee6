package observe

import "go.opentelemetry.io/otel/attribute"

// scope is the name of the instrumentation.
const scope = "github.com/kratos-mqtt/kratos-mqtt/observe"

// prefix is the namespace of what the conventions do not have.
const prefix = "kratosmqtt."

// Names of our own metrics that are not in the table of gauges. The names of the
// conventions are in internal/mqtt/semconv.
const (
	messageAge       = prefix + "message.age"
	messageRetries   = prefix + "message.retries"
	messageParked    = prefix + "message.parked"
	batchSize        = prefix + "batch.size"
	deadLetters      = prefix + "dead_letters"
	connectionState  = prefix + "connection.state"
	connectionLosses = prefix + "connection.losses"
	connectFailures  = prefix + "connection.failures"
)

// Attributes of our own.
const attrLossKind = attribute.Key(prefix + "loss.kind") // why a connection was lost
