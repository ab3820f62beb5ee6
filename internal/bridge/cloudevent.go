package bridge

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"strings"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/internal/engine"
)

// The structured JSON format of CloudEvents 1.0, the one form that MQTT 3.1.1
// can carry, too.
const (
	typeCloudEvent  = "application/cloudevents+json"
	typeCloudEvents = "application/cloudevents" // of every structured format
	specVersion     = "1.0"
	attrResponse    = "responsetopic"   // ours, for MQTT 3.1.1
	attrCorrelation = "correlationdata" // ours, a Binary
	binaryPrefix    = "ce-"             // of attributes as some SDKs send them
	attrContentType = "datacontenttype"
	attrData        = "data"
	attrDataBase64  = "data_base64"
	attrSpecVersion = "specversion"
)

// checkSource checks the source of our events, a non-empty URI reference.
func checkSource(source string) error {
	if _, err := url.Parse(source); err != nil || source == "" {
		return fmt.Errorf("CloudEvents source %q is no URI reference", source)
	}
	return nil
}

// structure turns the draft into a structured event: headers become
// attributes, and so do those of the context that have a fit name.
func (s *state) structure(d *draft) error {
	attrs := make(map[string]any, len(d.props.User)+len(d.ambient)+8)
	for _, u := range d.props.User {
		if err := checkAttribute(u.Key); err != nil {
			return err
		}
		attrs[u.Key] = u.Value
	}
	if err := d.context(attrs, s.cloudEvents); err != nil {
		return err
	}
	if err := engine.CheckSent(asHeaders(attrs)); err != nil {
		return tooLarge("publish", d.msg.Topic, err)
	}
	if isJSON(d.props.ContentType) && json.Valid(d.msg.Payload) {
		attrs[attrData] = json.RawMessage(d.msg.Payload)
	} else {
		attrs[attrDataBase64] = d.msg.Payload
	}
	payload, err := s.encodeEvent(d, attrs)
	if err != nil {
		return err
	}
	d.msg.Payload, d.props.ContentType, d.props.User = payload, typeCloudEvent, nil
	return nil
}

// encodeEvent adds the attributes of the context, unless they would make the
// event too large.
func (s *state) encodeEvent(d *draft, attrs map[string]any) ([]byte, error) {
	if len(d.ambient) == 0 {
		return json.Marshal(attrs)
	}
	asked := maps.Clone(attrs)
	added := s.attributes(d, attrs)
	payload, err := json.Marshal(attrs)
	if err != nil || len(added) == 0 || len(payload) <= cmp.Or(s.cfg.MaxPayload, engine.DefaultMaxPayload) {
		return payload, err
	}
	for _, u := range added {
		s.leave(u, errNoRoom)
	}
	return json.Marshal(asked)
}

// asHeaders returns the attributes that arrive as headers.
func asHeaders(attrs map[string]any) (list []engine.UserProperty) {
	for name, value := range attrs {
		if text, ok := value.(string); ok && name != attrContentType && name != attrResponse {
			list = append(list, engine.UserProperty{Key: name, Value: text})
		}
	}
	return list
}

// context fills in the attributes that no header gave.
func (d *draft) context(attrs map[string]any, source string) error {
	if attrs[idKey] == nil {
		attrs[idKey] = engine.NewID().String()
	}
	d.msg.id, _ = attrs[idKey].(string)
	p := &d.props
	for name, value := range map[string]string{
		attrSpecVersion: specVersion, "source": source, "type": d.typeName(), "subject": d.msg.Topic,
		"time": time.Now().UTC().Format(time.RFC3339Nano), attrContentType: p.ContentType, attrResponse: p.ResponseTopic,
	} {
		if attrs[name] == nil && value != "" {
			attrs[name] = value
		}
	}
	if p.CorrelationData != nil {
		attrs[attrCorrelation] = p.CorrelationData // base64 in JSON
	}
	if attrs[attrSpecVersion] != specVersion || attrs["source"] == "" || attrs["type"] == "" || attrs[idKey] == "" {
		return errors.New("headers specversion, id, source and type are attributes of the CloudEvent and break its rules")
	}
	return nil
}

// checkAttribute refuses what is no name of an attribute: lower-case letters
// and digits only, and neither data nor what belongs to it.
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

// cloudEvent is a structured event that arrived.
type cloudEvent struct {
	data        []byte
	contentType string
	response    string
	correlation []byte
	attributes  []engine.UserProperty // but the above
}

var errNoEvent = errors.New("no CloudEvent in structured JSON")

// parseCloudEvent reads the structured JSON format.
func parseCloudEvent(payload []byte) (*cloudEvent, error) {
	if err := checkJSON(payload); err != nil {
		return nil, fmt.Errorf("%w: %w", errNoEvent, err)
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(payload, &members); err != nil {
		return nil, fmt.Errorf("%w: %w", errNoEvent, err)
	}
	for _, name := range []string{attrSpecVersion, idKey, "source", "type"} {
		value := text(members[name])
		if value == "" || name == attrSpecVersion && value != specVersion {
			return nil, fmt.Errorf("%w: attribute %s is %s", errNoEvent, name, clip(string(members[name])))
		}
	}
	e := &cloudEvent{contentType: text(members[attrContentType]), response: text(members[attrResponse])}
	if raw, ok := members[attrCorrelation]; ok {
		e.correlation = binary(text(raw))
	}
	if err := e.takeData(members); err != nil {
		return nil, err
	}
	for name, raw := range members {
		switch name {
		case attrData, attrDataBase64, attrContentType, attrResponse, attrCorrelation:
		default:
			if string(raw) != "null" {
				e.attributes = append(e.attributes, engine.UserProperty{Key: name, Value: text(raw)})
			}
		}
	}
	return e, nil
}

// takeData reads data as the JSON format says: a JSON value of a JSON content
// type, which is also the default, or else a text.
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
	case isText && (e.contentType == "" || isJSON(e.contentType)):
		e.data = raw
		if e.contentType == "" {
			e.contentType = typeJSON
		}
	case isText:
		e.data = []byte(text(raw))
	}
	return nil
}

// text returns a string's value, and other JSON values as they are written.
func text(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	return string(raw)
}

// binary reads a Binary attribute; who does not know of base64 gets its text
// back.
func binary(s string) []byte {
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return []byte(s)
	}
	return b
}

// unwrap returns the structured event in a message, nil when it is none. MQTT 5
// names it by content type; without one only the carrier's option lets us
// look, and what is no event is then a bare message.
func unwrap(d *engine.Delivery, carrier bool) (*cloudEvent, error) {
	if d.Properties != nil {
		if id, _ := last(d.Properties.User, deadletter.IDHeader); id != "" {
			return nil, nil // the message as it was, perhaps because it is no event
		}
	}
	named := d.Properties != nil && d.Properties.ContentType != ""
	switch {
	case named && isStructured(d.Properties.ContentType):
		return parseCloudEvent(d.Payload)
	case named || !carrier || !beginsObject(d.Payload):
		return nil, nil
	}
	e, err := parseCloudEvent(d.Payload)
	if err != nil {
		return nil, nil //nolint:nilerr // a bare message
	}
	return e, nil
}

// beginsObject reports whether a payload may be a JSON object, which is cheaper
// than reading it. White space may come before it (RFC 8259, section 2).
func beginsObject(payload []byte) bool {
	rest := bytes.TrimLeft(payload, " \t\r\n")
	return len(rest) > 0 && rest[0] == '{'
}

func isStructured(contentType string) bool {
	return len(contentType) >= len(typeCloudEvents) && strings.EqualFold(contentType[:len(typeCloudEvents)], typeCloudEvents)
}
