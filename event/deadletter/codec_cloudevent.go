package deadletter

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/kratos-mqtt/kratos-mqtt/event/internal/headerjson"
	"github.com/kratos-mqtt/kratos-mqtt/event/message"
)

const (
	eventType = "kratosmqtt.deadletter.v1"
	unknown   = "unknown" // source of a letter without a service
)

// attribute returns the name of the CloudEvents attribute for a name of metadata. subject is
// the original topic; other names are reduced to lower-case letters.
func attribute(name string) string {
	if name == "topic" {
		return "subject"
	}
	return strings.ReplaceAll(name, "-", "")
}

// metadataOf is the inverse of attribute for the names that differ.
func metadataOf(attribute string) string {
	switch attribute {
	case "subject":
		return "topic"
	case "eventid":
		return "event-id"
	case "errortype":
		return "error-type"
	case "omittedsize":
		return "omitted-size"
	case "omittedsha256":
		return "omitted-sha256"
	case "omittedmore":
		return "omitted-more"
	}
	return attribute
}

// cloudEvent returns the MQTT 3.1.1 format. The attribute "headers" is a JSON list of pairs as
// text, because attributes cannot have structure.
func (l *Letter) cloudEvent() (*message.Message, error) {
	source := l.Service
	if source == "" {
		source = unknown
	}
	attrs := map[string]any{
		"specversion": "1.0", "source": "/" + source, "type": eventType, "data_base64": l.Payload,
	}
	for _, kv := range l.metadata() {
		attrs[attribute(kv[0])] = kv[1]
	}
	// CloudEvents has a type for integers.
	attrs["attempts"], attrs["qos"] = l.Attempts, l.QoS
	text := func(name, value string) {
		if value != "" {
			attrs[name] = value
		}
	}
	text("datacontenttype", l.ContentType)
	text("responsetopic", l.ResponseTopic)
	if l.CorrelationData != nil {
		attrs["correlationdata"] = l.CorrelationData
	}
	if l.Payload == nil {
		delete(attrs, "data_base64")
	}
	if len(l.Headers) > 0 {
		list, err := headerjson.Encode(l.Headers)
		if err != nil {
			return nil, err
		}
		attrs["headers"] = list
	}
	payload, err := json.Marshal(attrs)
	if err != nil {
		return nil, err
	}
	return &message.Message{Payload: payload, QoS: 1, ContentType: message.TypeEvent}, nil
}

func (l *Letter) fromCloudEvent(payload []byte) error {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(message.JSONText(payload), &members); err != nil {
		return fmt.Errorf("%w: %w", ErrNoLetter, err)
	}
	if text(members["type"]) != eventType {
		return fmt.Errorf("%w: of another type", ErrNoLetter)
	}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		if err := l.member(name, members[name]); err != nil {
			return err
		}
	}
	return nil
}

func (l *Letter) member(name string, raw json.RawMessage) (err error) {
	switch name {
	case "specversion", "source", "type":
	case "data":
		if l.Payload = []byte(text(raw)); string(raw) == "null" {
			l.Payload = nil
		}
	case "data_base64":
		l.Payload, err = base64.StdEncoding.DecodeString(text(raw))
	case "datacontenttype":
		l.ContentType = text(raw)
	case "responsetopic":
		l.ResponseTopic = text(raw)
	case "correlationdata":
		l.CorrelationData, err = base64.StdEncoding.DecodeString(text(raw))
	case "headers":
		l.Headers, err = headerjson.Decode(text(raw))
	default:
		// Besides subject, a member "topic" must not set the topic too.
		if own := metadataOf(name); attribute(own) == name {
			return l.set(own, text(raw))
		}
	}
	if err != nil {
		return fmt.Errorf("%w: %s: %w", ErrNoLetter, name, err)
	}
	return nil
}

// text returns the value of a JSON string, or other JSON unchanged.
func text(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	return string(raw)
}
