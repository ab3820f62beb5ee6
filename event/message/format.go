package message

import (
	"bytes"
	"mime"
	"strings"
)

// Format is how a payload is written, as far as its content type says so.
type Format int

// The formats that are told apart.
const (
	// FormatUnknown has no content type, or one of no other format here.
	FormatUnknown Format = iota
	// FormatJSON is application/json, text/json and all of +json.
	FormatJSON
	// FormatProto is application/protobuf, the names that were used before it, and
	// all of +proto and +protobuf.
	FormatProto
	// FormatEvent is application/cloudevents+json, a CloudEvent in structured JSON;
	// without +json, too, as that is the usual one.
	FormatEvent
	// FormatEventBatch is application/cloudevents-batch, a list of CloudEvents,
	// which MQTT has no binding for.
	FormatEventBatch
	// FormatEventOther is a CloudEvent in a structured format other than JSON.
	FormatEventOther
)

// Content types as they are sent.
const (
	TypeJSON  = "application/json"
	TypeProto = "application/protobuf"
	TypeEvent = "application/cloudevents+json"
)

// FormatOf returns the format that a content type names, in any case and with
// whatever parameters. It is the one place that reads content types.
func FormatOf(contentType string) Format {
	switch contentType { // as nearly all are, without an allocation
	case "":
		return FormatUnknown
	case TypeJSON:
		return FormatJSON
	case TypeProto:
		return FormatProto
	case TypeEvent:
		return FormatEvent
	}
	media, _, _ := mime.ParseMediaType(contentType) // in lower case, also where parameters are wrong
	kind, sub, _ := strings.Cut(media, "/")
	base, suffix, _ := strings.Cut(sub, "+")
	if i := strings.LastIndexByte(suffix, '+'); i >= 0 {
		suffix = suffix[i+1:]
	}
	switch {
	case kind == "application" && base == "cloudevents-batch":
		return FormatEventBatch
	case kind == "application" && base == "cloudevents" && (suffix == "json" || suffix == ""):
		return FormatEvent
	case kind == "application" && base == "cloudevents":
		return FormatEventOther
	case suffix == "json", sub == "json" && (kind == "application" || kind == "text"):
		return FormatJSON
	case kind == "application" && protobuf(sub), suffix == "proto", suffix == "protobuf":
		return FormatProto
	}
	return FormatUnknown
}

// protobuf lists the names that are or were in use.
func protobuf(sub string) bool {
	switch sub {
	case "proto", "protobuf", "x-protobuf", "vnd.google.protobuf":
		return true
	}
	return false
}

// IsJSON reports whether a payload of the format is JSON text.
func (f Format) IsJSON() bool {
	return f == FormatJSON || f == FormatEvent
}

// IsEvent reports whether a payload of the format is a CloudEvent, or several, with
// its attributes inside.
func (f Format) IsEvent() bool { return f >= FormatEvent }

// JSONText is a payload without the byte order mark that some senders put in front
// of JSON, and parsers may ignore (RFC 8259, section 8.1).
func JSONText(payload []byte) []byte { return bytes.TrimPrefix(payload, []byte("\uFEFF")) }

// MayBeObject reports whether a payload may be a JSON object, which is cheaper than
// reading it: white space may come before it (RFC 8259, section 2), and a byte
// order mark.
func MayBeObject(payload []byte) bool {
	return bytes.HasPrefix(bytes.TrimLeft(JSONText(payload), " \t\r\n"), []byte("{"))
}
