package operation

import (
	"strings"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
)

// Header keeps all values of a key, in order. Keys are lower case, so that metadata prefixes
// match. It has the methods of a Kratos header, and belongs to one attempt.
type Header struct{ values map[string][]string }

// Get returns the first value of a key, or "".
func (h *Header) Get(key string) string {
	if v := h.Values(key); len(v) > 0 {
		return v[0]
	}
	return ""
}

// Set replaces the values of a key.
func (h *Header) Set(key, value string) {
	h.put(strings.ToLower(key), []string{value})
}

// Add adds a value to a key.
func (h *Header) Add(key, value string) {
	key = strings.ToLower(key)
	h.put(key, append(h.values[key], value))
}

func (h *Header) put(key string, values []string) {
	if h.values == nil {
		h.values = make(map[string][]string)
	}
	h.values[key] = values
}

// Keys returns all keys, in no order.
func (h *Header) Keys() []string {
	keys := make([]string, 0, len(h.values))
	for k := range h.values {
		keys = append(keys, k)
	}
	return keys
}

// Values returns all values of a key.
func (h *Header) Values(key string) []string { return h.values[strings.ToLower(key)] }

// list returns all values, keys in no order.
func (h *Header) list() (list []client.UserProperty) {
	for key, values := range h.values {
		for _, v := range values {
			list = append(list, client.UserProperty{Key: key, Value: v})
		}
	}
	return list
}
