package envelope

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/event/message"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/bounds"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
)

// The structured JSON format of CloudEvents 1.0, the only form that MQTT 3.1.1 can carry,
// too.
const (
	specVersion     = "1.0"
	attrResponse    = "responsetopic"   // ours, for MQTT 3.1.1
	attrCorrelation = "correlationdata" // ours, a Binary
	binaryPrefix    = "ce-"             // of attributes as some SDKs send them
	attrContentType = "datacontenttype"
	attrData        = "data"
	attrDataBase64  = "data_base64"
	attrSpecVersion = "specversion"
	attrSource      = "source"
)

// Structured reports whether the payload is a structured CloudEvent.
func (m *Message) Structured() bool {
	return m.Properties != nil && message.FormatOf(m.Properties.ContentType) == message.FormatEvent
}

// CheckSource checks the source of our events, a non-empty URI reference.
func CheckSource(source string) error {
	if _, err := url.Parse(source); err != nil || source == "" {
		return fmt.Errorf("CloudEvents source %q is no URI reference", source)
	}
	return nil
}

// structure turns the message into a structured event: headers become
// attributes, and so do those of the context that have a fit name.
func (m *Message) structure(s *Settings) error {
	attrs := make(map[string]any, len(m.Properties.User)+len(m.ambient)+8)
	for _, u := range m.Properties.User {
		if err := checkAttribute(u.Key); err != nil {
			return err
		}
		attrs[u.Key] = u.Value
	}
	if err := m.setAttributes(attrs, s.Source); err != nil {
		return err
	}
	if err := CheckSent(asHeaders(attrs)); err != nil {
		return failure("publish", m.Topic, event.ReasonTooLarge, err)
	}
	if message.FormatOf(m.Properties.ContentType).IsJSON() && json.Valid(m.Payload) {
		attrs[attrData] = json.RawMessage(m.Payload)
	} else {
		attrs[attrDataBase64] = m.Payload
	}
	payload, err := m.encodeEvent(s, attrs)
	if err != nil {
		return err
	}
	m.Payload, m.Properties.ContentType, m.Properties.User = payload, message.TypeEvent, nil
	return nil
}

// encodeEvent adds the attributes of the context, unless they would make the
// event too large.
func (m *Message) encodeEvent(s *Settings, attrs map[string]any) ([]byte, error) {
	if len(m.ambient) == 0 {
		return json.Marshal(attrs)
	}
	asked := maps.Clone(attrs)
	added := s.attributes(m, attrs)
	payload, err := json.Marshal(attrs)
	if err != nil || len(added) == 0 || len(payload) <= cmp.Or(s.MaxPayload, DefaultMaxPayload) {
		return payload, err
	}
	for _, u := range added {
		s.Losses.leaveOut(u, errNoRoom)
	}
	return json.Marshal(asked)
}

// asHeaders returns the attributes that arrive as headers.
func asHeaders(attrs map[string]any) (list []session.UserProperty) {
	for name, value := range attrs {
		if text, ok := value.(string); ok && name != attrContentType && name != attrResponse {
			list = append(list, session.UserProperty{Key: name, Value: text})
		}
	}
	return list
}

// setAttributes sets the attributes that no header has set.
func (m *Message) setAttributes(attrs map[string]any, source string) error {
	if attrs[idKey] == nil {
		attrs[idKey] = session.NewID().String()
	}
	m.MessageID, _ = attrs[idKey].(string)
	p := m.Properties
	for _, a := range [...][2]string{
		{attrSpecVersion, specVersion},
		{attrSource, source},
		{"type", m.typeName()},
		{"subject", m.Topic},
		{attrTime, time.Now().UTC().Format(time.RFC3339Nano)},
		{attrContentType, p.ContentType},
		{attrResponse, p.ResponseTopic},
	} {
		if attrs[a[0]] == nil && a[1] != "" {
			attrs[a[0]] = a[1]
		}
	}
	if p.CorrelationData != nil {
		attrs[attrCorrelation] = p.CorrelationData // base64 in JSON
	}
	if attrs[attrSpecVersion] != specVersion || attrs[attrSource] == "" || attrs["type"] == "" || attrs[idKey] == "" {
		return errors.New("headers specversion, id, source and type are attributes of the CloudEvent and break its rules")
	}
	return nil
}

// checkAttribute refuses an invalid attribute name. A name has lower-case letters and
// digits only, and is neither data nor one of the members that belong to it.
func checkAttribute(name string) error {
	switch name {
	case attrData, attrContentType, attrResponse, attrCorrelation:
		return fmt.Errorf("header %q: the CloudEvents carrier uses this name itself", name)
	}
	legal := name != ""
	for _, c := range []byte(name) {
		legal = legal && (c >= 'a' && c <= 'z' || c >= '0' && c <= '9')
	}
	if !legal {
		return fmt.Errorf("header %q: the CloudEvents carrier takes names of lower-case letters and digits only", name)
	}
	return nil
}

// cloudEvent is a structured event that was received.
type cloudEvent struct {
	data        []byte
	contentType string
	response    string
	correlation []byte
	attributes  []session.UserProperty // the other attributes
}

// errNoEvent is the error for a message that is declared as an event, by its content type
// or a specversion, and breaks the rules of events.
var errNoEvent = errors.New("no CloudEvent in structured JSON")

// membersOf decodes a JSON object.
func membersOf(payload []byte) (members map[string]json.RawMessage, err error) {
	payload = message.JSONText(payload)
	if err = bounds.Check(jsonCodec, payload, nil); err == nil {
		err = json.Unmarshal(payload, &members)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNoEvent, err)
	}
	return members, nil
}

// parseCloudEvent decodes the structured JSON format.
func parseCloudEvent(payload []byte) (*cloudEvent, error) {
	members, err := membersOf(payload)
	if err != nil {
		return nil, err
	}
	return eventOf(members)
}

// eventOf returns the event with these members.
func eventOf(members map[string]json.RawMessage) (*cloudEvent, error) {
	for _, name := range []string{attrSpecVersion, idKey, attrSource, "type"} {
		value := text(members[name])
		if value == "" || name == attrSpecVersion && value != specVersion {
			return nil, fmt.Errorf("%w: attribute %s is %s", errNoEvent, name, logsafe.Clip(string(members[name])))
		}
	}
	e := &cloudEvent{contentType: text(members[attrContentType]), response: text(members[attrResponse])}
	if raw, ok := members[attrCorrelation]; ok {
		e.correlation = binary(text(raw))
	}
	if err := e.takeData(members); err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		switch raw := members[name]; name {
		case attrData, attrDataBase64, attrContentType, attrResponse, attrCorrelation:
		default:
			if string(raw) != "null" {
				e.attributes = append(e.attributes, session.UserProperty{Key: name, Value: text(raw)})
			}
		}
	}
	return e, nil
}

// takeData decodes data as the JSON format defines: a JSON value for a JSON content type,
// which is also the default, and a text otherwise.
func (e *cloudEvent) takeData(members map[string]json.RawMessage) (err error) {
	raw, isText := members[attrData]
	coded, isBinary := members[attrDataBase64]
	switch {
	case isText && isBinary:
		return fmt.Errorf("%w: both data and data_base64", errNoEvent)
	case isBinary:
		if e.data, err = base64.StdEncoding.DecodeString(text(coded)); err != nil {
			return fmt.Errorf("%w: data_base64: %w", errNoEvent, err)
		}
	case isText && (e.contentType == "" || message.FormatOf(e.contentType).IsJSON()):
		e.data = raw
		if e.contentType == "" {
			e.contentType = message.TypeJSON
		}
	case isText:
		e.data = []byte(text(raw))
	}
	return nil
}

// text returns the value of a JSON string, and any other JSON value as it is written.
func text(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	return string(raw)
}

// binary decodes a Binary attribute. Text that is not base64 is returned unchanged, for
// senders that do not encode it.
func binary(s string) []byte {
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return []byte(s)
	}
	return b
}

// unwrap returns the structured event in a message, or nil for a bare message. The content
// type decides. Without a content type, as on MQTT 3.1.1, and with the carrier option, a
// payload with a specversion is an event. A broken event is an error, never a bare
// message.
func unwrap(in *session.Inbound, carrier, deadLetters bool) (*cloudEvent, error) {
	named := ""
	if p := in.Properties; p != nil {
		if id, _ := Last(p.User, deadletter.IDHeader); id != "" && deadLetters {
			return nil, nil // a dead letter or a bare message, returned as it was
		}
		named = p.ContentType
	}
	if len(in.Payload) == 0 {
		return nil, nil // an empty message deletes a retained one; it is not an event, whatever its content type
	}
	switch message.FormatOf(named) {
	case message.FormatEvent:
		return parseCloudEvent(in.Payload)
	case message.FormatEventBatch, message.FormatEventOther:
		return nil, fmt.Errorf("%w: content type %q, want %s", errNoEvent, logsafe.Clip(named), message.TypeEvent)
	}
	if named != "" || !carrier || !message.MayBeObject(in.Payload) {
		return nil, nil
	}
	members, err := membersOf(in.Payload)
	if err != nil || members[attrSpecVersion] == nil {
		return nil, nil //nolint:nilerr // a bare message, which its codec judges
	}
	return eventOf(members)
}
