// Package semconv has the names of OpenTelemetry's semantic conventions for messaging
// that metrics and spans use, all at one version. The conventions are in development:
// compare this file with them at each release.
package semconv

import (
	"cmp"
	"strings"

	"go.opentelemetry.io/otel/attribute"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/topic"
)

// SchemaURL identifies the version of the conventions.
const SchemaURL = "https://opentelemetry.io/schemas/1.45.0"

// OptIn is the environment variable that asks for attributes of former versions, too: a
// list, separated by commas. Dup is the value for messaging.
const (
	OptIn = "OTEL_SEMCONV_STABILITY_OPT_IN"
	Dup   = "messaging/dup"
)

// Metrics of the conventions.
const (
	ClientOperationDuration = "messaging.client.operation.duration"
	ClientSentMessages      = "messaging.client.sent.messages"
	ClientConsumedMessages  = "messaging.client.consumed.messages"
	ProcessDuration         = "messaging.process.duration"
)

// Attributes of the conventions. Those that log lines have, too, have the name that they have there.
const (
	System           = attribute.Key("messaging.system.name")
	SystemBefore145  = attribute.Key("messaging.system")
	OperationName    = attribute.Key("messaging.operation.name")
	OperationType    = attribute.Key("messaging.operation.type")
	Template         = attribute.Key(logsafe.KeyFilter)
	DestinationName  = attribute.Key(logsafe.KeyTopic)
	ConsumerGroup    = attribute.Key("messaging.consumer.group.name")
	SubscriptionName = attribute.Key(logsafe.KeyOperation)
	BatchCount       = attribute.Key("messaging.batch.message_count")
	ClientID         = attribute.Key(logsafe.KeyClientID)
	MessageID        = attribute.Key(logsafe.KeyMessageID)
	ErrorType        = attribute.Key(logsafe.KeyErrorType)
)

// Values of attributes. Send and Process are operation names and types.
const (
	MQTT    = "mqtt"
	Send    = "send"
	Process = "process"
	// OtherError is the type of an error that has no other name of few values.
	OtherError = "_OTHER"
)

// DuplicateEvent is the event in the span of a message that the dedup window suppressed; the
// conventions have none for it.
const DuplicateEvent = "kratosmqtt.duplicate"

// Buckets returns the bounds that the conventions advise for durations, in seconds.
func Buckets() []float64 {
	return []float64{0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10}
}

// Systems returns the attributes that name the messaging system. optIn is the value of
// [OptIn].
func Systems(optIn string) []attribute.KeyValue {
	list := []attribute.KeyValue{System.String(MQTT)}
	for value := range strings.SplitSeq(optIn, ",") {
		if strings.TrimSpace(value) == Dup {
			return append(list, SystemBefore145.String(MQTT))
		}
	}
	return list
}

// Operation returns the attributes of an operation, which is also its type.
func Operation(name string) []attribute.KeyValue {
	return []attribute.KeyValue{OperationName.String(name), OperationType.String(name)}
}

// Subscription returns the attributes of a subscription by a filter, of a generated handler
// with its template and operation, which are empty otherwise: where its messages were
// published to, as a text of few values, its operation and its shared group.
func Subscription(filter, template, operation string) []attribute.KeyValue {
	group, _, _, err := topic.ParseShared(filter)
	if err != nil {
		group = ""
	}
	list := make([]attribute.KeyValue, 0, 3)
	if to := Destination(filter, template); to != "" {
		list = append(list, Template.String(to))
	}
	if operation != "" {
		list = append(list, SubscriptionName.String(operation))
	}
	if group != "" {
		list = append(list, ConsumerGroup.String(group))
	}
	return list
}

// Destination returns where the messages of a subscription were published to, as a text of
// few values: the template, or else the filter without its group.
func Destination(filter, template string) string {
	return cmp.Or(template, topic.Unshared(filter))
}

// ErrorTypeOf returns the reason of an error, ours or that of Kratos and gRPC, or
// [OtherError]; "" for nil.
func ErrorTypeOf(err error) string {
	if err == nil {
		return ""
	}
	if reason := event.ReasonOf(err); reason != "" {
		return string(reason)
	}
	if s, ok := event.StatusIn(err); ok && s.Reason != "" {
		return s.Reason
	}
	return OtherError
}

// ConnectErrorTypeOf is [ErrorTypeOf] for an attempt to connect: the problem of TLS, if that is
// why it failed.
func ConnectErrorTypeOf(err error) string {
	return cmp.Or(string(event.TLSProblemOf(err)), ErrorTypeOf(err))
}

// ErrorTypeField returns the field of a log line with the type of an error, or nothing if the
// error has none.
func ErrorTypeField(err error) []any {
	if t := ConnectErrorTypeOf(err); t != OtherError {
		return []any{logsafe.KeyErrorType, logsafe.Text(t)}
	}
	return nil
}

// Failure returns the attribute of an error; nothing for nil.
func Failure(err error) []attribute.KeyValue {
	if err == nil {
		return nil
	}
	return []attribute.KeyValue{ErrorType.String(ErrorTypeOf(err))}
}

// SpanName returns the name of a span: the operation and its destination, a template or
// filter. It never has a topic, because a name must have few values.
func SpanName(operation, destination string) string {
	if destination == "" {
		return operation
	}
	return operation + " " + destination
}
