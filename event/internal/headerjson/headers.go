// Package headerjson encodes the headers of a message as JSON text, for a column of a database
// or a member of a JSON object.
package headerjson

import (
	"encoding/json"

	"github.com/kratos-mqtt/kratos-mqtt/event/message"
)

// Encode returns a JSON list of pairs, which preserves the order and repeated keys.
func Encode(headers []message.Header) (string, error) {
	pairs := make([][2]string, len(headers))
	for i, h := range headers {
		pairs[i] = [2]string{h.Key, h.Value}
	}
	b, err := json.Marshal(pairs)
	return string(b), err
}

// Decode parses the text of [Encode]; it returns nil for an empty list.
func Decode(text string) ([]message.Header, error) {
	var pairs [][2]string
	if err := json.Unmarshal([]byte(text), &pairs); err != nil {
		return nil, err
	}
	var list []message.Header
	for _, p := range pairs {
		list = append(list, message.Header{Key: p[0], Value: p[1]})
	}
	return list, nil
}
