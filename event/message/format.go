package message

import (
	"bytes"
	"mime"
	"strings"
)

// Format is the format of a payload according to its content type.
type Format int

// The formats.
const (
	// FormatUnknown means no content type, or one of another format.
	FormatUnknown Format = iota
	// FormatJSON means application/json, text/json and every type with the suffix +json.
	FormatJSON
	// FormatProto means application/protobuf, its older names, and every type with the suffix
	// +proto or +protobuf.
	FormatProto
	// FormatEvent means application/cloudevents+json, a CloudEvent in structured JSON.
	// application/cloudevents without the suffix counts as JSON too, because that is the
	// common meaning.
	FormatEvent
	// FormatEventBatch means application/cloudevents-batch, a list of CloudEvents, for which
	// there is no MQTT binding.
	FormatEventBatch
	// FormatEventOther means a CloudEvent in a structured format other than JSON.
	FormatEventOther
)

// Content types that are sent.
const (
	TypeJSON  = "application/json"
	TypeProto = "application/protobuf"
	TypeEvent = "application/cloudevents+json"
)

// FormatOf returns the format of a content type, whatever its letter case and parameters. No
// other function interprets content types.
func FormatOf(contentType string) Format {
	switch contentType { // the usual spellings, without an allocation
	case "":
		return FormatUnknown
	case TypeJSON:
		return FormatJSON
	case TypeProto:
		return FormatProto
	case TypeEvent:
		return FormatEvent
	}
	media, _, _ := mime.ParseMediaType(contentType) // lower case, even if the parameters are invalid
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

// protobuf reports whether sub is a subtype that is or was in use for protobuf.
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

// IsEvent reports whether a payload of the format contains one or more CloudEvents with their
// attributes.
func (f Format) IsEvent() bool { return f >= FormatEvent }

// JSONText returns a payload without a leading byte order mark, which some senders add to JSON
// and which parsers may ignore (RFC 8259, section 8.1).
func JSONText(payload []byte) []byte { return bytes.TrimPrefix(payload, []byte("\uFEFF")) }

// MayBeObject reports whether a payload may be a JSON object, without parsing it. White space
// (RFC 8259, section 2) and a byte order mark may come first.
func MayBeObject(payload []byte) bool {
	return bytes.HasPrefix(bytes.TrimLeft(JSONText(payload), " \t\r\n"), []byte("{"))
}
