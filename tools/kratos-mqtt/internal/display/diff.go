package display

import (
	"container/list"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Change is one difference between two messages.
type Change struct {
	// Path is where it is in the payload, such as sensors.co2 or list[0]; "" is the payload as
	// a whole.
	Path string `json:"path"`
	// Old and New are JSON. One of them is empty if the value was not there before, or is not
	// there any more.
	Old json.RawMessage `json:"old,omitempty"`
	New json.RawMessage `json:"new,omitempty"`
}

// Bounds of a history: topics come from anybody.
const (
	maxTopics = 10_000
	maxBytes  = 64 << 20
	// Of one message: what is deeper, or has a longer path, is compared as a whole, and what
	// comes behind so many values is not compared.
	maxDepth  = 32
	maxPath   = 1000
	maxValues = 10_000
	perValue  = 128 // bytes of memory beside its text
)

// History keeps the last message of each topic, of at most 10,000 topics and 64 MiB; the topics
// that were silent for the longest time are forgotten first. It must not be used concurrently.
type History struct {
	topics map[string]*list.Element
	order  *list.List // of *last, the most recent in front
	bytes  int
}

// last is the last message of a topic.
type last struct {
	topic  string
	values values
	size   int
}

// values are the leaves of a payload by their paths, in the order of the payload.
type values struct {
	paths []string
	at    map[string]json.RawMessage
	size  int // approximate, in bytes
}

// NewHistory returns an empty history.
func NewHistory() *History {
	return &History{topics: make(map[string]*list.Element), order: list.New()}
}

// Compare sets the changes of a message since the one before on its topic, and keeps it as the
// last one.
func (h *History) Compare(m *Message) {
	now := &last{topic: m.Topic, values: leaves(m)}
	now.size = len(m.Topic) + now.values.size
	if at, known := h.topics[m.Topic]; known {
		before, _ := at.Value.(*last)
		m.Changes = changes(before.values, now.values)
		m.Same = len(m.Changes) == 0
		h.bytes -= before.size
		at.Value = now
		h.order.MoveToFront(at)
	} else {
		h.topics[m.Topic] = h.order.PushFront(now)
	}
	for h.bytes += now.size; len(h.topics) > maxTopics || h.bytes > maxBytes; {
		oldest, _ := h.order.Remove(h.order.Back()).(*last)
		delete(h.topics, oldest.topic)
		h.bytes -= oldest.size
	}
}

func changes(before, now values) (found []Change) {
	for _, path := range now.paths {
		if old := before.at[path]; string(old) != string(now.at[path]) {
			found = append(found, Change{Path: path, Old: old, New: now.at[path]})
		}
	}
	for _, path := range before.paths {
		if _, still := now.at[path]; !still {
			found = append(found, Change{Path: path, Old: before.at[path]})
		}
	}
	return found
}

func leaves(m *Message) values {
	v := values{at: make(map[string]json.RawMessage)}
	if m.Payload == nil {
		v.add("", quoted(base64.StdEncoding.EncodeToString(m.Bytes)))
		return v
	}
	v.walk("", m.Payload, 0)
	return v
}

func (v *values) add(path string, text json.RawMessage) {
	if len(v.paths) < maxValues {
		v.paths = append(v.paths, path)
		v.at[path] = text
		v.size += perValue + len(path) + len(text)
	}
}

// walk adds the leaves of a value. An empty object or list is a leaf.
func (v *values) walk(path string, text json.RawMessage, depth int) {
	switch first := strings.TrimLeft(string(text[:min(len(text), 8)]), " \t\r\n"); {
	case depth >= maxDepth || len(path) > maxPath || len(v.paths) >= maxValues:
	case strings.HasPrefix(first, "{"):
		var object map[string]json.RawMessage
		if json.Unmarshal(text, &object) != nil || len(object) == 0 {
			break
		}
		for _, name := range slices.Sorted(maps.Keys(object)) {
			v.walk(join(path, name), object[name], depth+1)
		}
		return
	case strings.HasPrefix(first, "["):
		var items []json.RawMessage
		if json.Unmarshal(text, &items) != nil || len(items) == 0 {
			break
		}
		for i, item := range items {
			v.walk(fmt.Sprintf("%s[%d]", path, i), item, depth+1)
		}
		return
	}
	v.add(path, text)
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// unquoted returns the text of a JSON string.
func unquoted(text string) (s string) {
	_ = json.Unmarshal([]byte(text), &s) // "" if it is not one
	return s
}

// quoted returns a text as a JSON string.
func quoted(s string) json.RawMessage {
	text, err := json.Marshal(s)
	if err != nil { // a string has no error
		return json.RawMessage(`""`)
	}
	return text
}
