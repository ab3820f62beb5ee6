// Package explain states what a service does with a topic, from the descriptors of its events
// and its configuration, without a connection: which operations handle it, with which settings,
// where each setting is from, and why the nearest others do not match.
package explain

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/decode"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/eventproto"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/topic"
)

// Service is what is known about a service.
type Service struct {
	Methods eventproto.Methods
	// Operation is the only operation to explain, or "" for all.
	Operation string
	Decoder   decode.Decoder
	// Subscriber is its configuration, and Place the name of that section, such as
	// config.yaml server.mqtt. Nil means that nothing is configured.
	Subscriber *v1.Subscriber
	Place      string
	// Prefix is the filter prefix that the service is registered with, or "".
	Prefix string
}

// Message is a message to be explained.
type Message struct {
	Topic string
	// Payload is nil to explain the topic only.
	Payload     []byte
	ContentType string
}

// Setting is a setting of an operation.
type Setting struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	// From is where it is set: "default", ".proto", or a key of the configuration.
	From string `json:"from"`
}

// Match is an operation whose filter matches the topic.
type Match struct {
	Topic     string `json:"topic"`
	Operation string `json:"operation"`
	Handled   bool   `json:"handled"`
	Template  string `json:"template"`
	Filter    string `json:"filter"`
	// Description is the comment of the operation in its .proto file, and RequestDescription that
	// of its message.
	Description        string `json:"description,omitempty"`
	Request            string `json:"request"`
	RequestDescription string `json:"request_description,omitempty"`

	Settings []Setting `json:"settings,omitempty"`
	// Note is why a service does not handle it although the filter matches, or what to know.
	Note    string   `json:"note,omitempty"`
	Binding *Binding `json:"binding,omitempty"`
}

// Near is a template that nearly matches the topic.
type Near struct {
	Topic     string `json:"topic"`
	Operation string `json:"operation"`
	Handled   bool   `json:"handled"` // always false
	Template  string `json:"template"`
	// Level is the first level that differs, from 1, and Why describes it.
	Level int    `json:"level"`
	Why   string `json:"why"`

	differences int
}

// Explanation is what happens to a message.
type Explanation struct {
	Matches []Match
	Nearest []Near
	// Notes are about the topic, or about several matches.
	Notes []string
}

// Handled reports whether an operation handles the topic.
func (e *Explanation) Handled() bool {
	return slices.ContainsFunc(e.Matches, func(m Match) bool { return m.Handled })
}

// nearest is how many templates are named that do not match.
const nearest = 3

// Explain explains a message. The error is about the topic, which is not a topic name.
func (s *Service) Explain(m Message) (*Explanation, error) {
	if err := checkTopic(m.Topic); err != nil {
		return nil, err
	}
	e := &Explanation{Notes: append(notes(m.Topic), s.unused()...)}
	for _, method := range s.Methods {
		if s.Operation != "" && s.Operation != method.Operation {
			continue
		}
		for i, filter := range method.Filters {
			if topic.Match(s.prefix()+filter, m.Topic) {
				e.Matches = append(e.Matches, s.match(method, i, m))
			} else if method.Serves() {
				e.Nearest = append(e.Nearest, s.near(method, i, m.Topic))
			}
		}
	}
	serving := 0
	for _, match := range e.Matches {
		if match.Handled {
			serving++
		}
	}
	if serving > 1 {
		e.Notes = append(e.Notes, "several operations match: on MQTT 3.1.1 a broker may deliver one copy for each filter, and each handler receives the message")
	}
	slices.SortStableFunc(e.Nearest, func(a, b Near) int { return cmp.Compare(a.differences, b.differences) })
	e.Nearest = e.Nearest[:min(nearest, len(e.Nearest))]
	return e, nil
}

// unused returns notes about configured subscriptions that no operation has.
func (s *Service) unused() (notes []string) {
	for _, name := range slices.Sorted(maps.Keys(s.Subscriber.GetSubscriptions())) {
		_, plain, _, err := topic.ParseShared(name)
		known := func(m *eventproto.Method) bool {
			return m.Operation == name || err == nil && slices.Contains(m.Filters, s.own(plain))
		}
		if !slices.ContainsFunc(s.Methods, known) {
			notes = append(notes, fmt.Sprintf("%s.subscriptions has %q, which is not an operation or a filter of these descriptors%s", s.Place, name, s.meant(name)))
		}
	}
	return notes
}

// meant returns a hint at the operations that end with a name, which a configuration has to name in full.
func (s *Service) meant(name string) string {
	for _, m := range s.Methods {
		if strings.HasSuffix(m.Operation, "/"+name) || strings.HasSuffix(m.Operation, "."+name) || m.Operation == "/"+name {
			return fmt.Sprintf("; did you mean %q?", m.Operation)
		}
	}
	return ""
}

// prefix returns the filter prefix with a slash at its end, or "".
func (s *Service) prefix() string {
	if s.Prefix == "" {
		return ""
	}
	return strings.TrimRight(s.Prefix, "/") + "/"
}

// own returns a topic without the levels of the prefix.
func (s *Service) own(name string) string {
	for range strings.Count(s.prefix(), "/") {
		_, name, _ = strings.Cut(name, "/")
	}
	return name
}

func (s *Service) match(method *eventproto.Method, i int, m Message) Match {
	t := method.Topics[i]
	found := Match{
		Topic: m.Topic, Operation: method.Operation, Handled: method.Serves(), Template: s.prefix() + t.Text, Filter: s.prefix() + method.Filters[i],
		Description: eventproto.Comment(method.Desc),
		Request:     string(method.Desc.Input().FullName()), RequestDescription: eventproto.Comment(method.Desc.Input()),
	}
	if !found.Handled {
		found.Note = "services publish here and do not subscribe (side: SIDE_PUBLISH_ONLY)"
		return found
	}
	found.Binding = s.bind(method, t, m)
	found.Settings = s.settings(method, i, found.Binding)
	if problem := found.Binding.Problem; problem != "" {
		found.Note = "the handler is not called, and the message becomes a dead letter: " + problem
		if !method.Event() {
			found.Note = "the handler is not called, and the reply is an error: " + problem
		}
	}
	return found
}
