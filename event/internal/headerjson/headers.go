// Package headerjson is the form that the headers of a message have in a column of a
// database, and in a member of a JSON text.
package headerjson

import (
	"encoding/json"

	"github.com/kratos-mqtt/kratos-mqtt/event/message"
)

// Encode returns a JSON text: a list of pairs, which keeps the order, and keys that
// occur again. The error is that of the encoder.
func Encode(headers []message.Header) (string, error) {
	pairs := make([][2]string, len(headers))
	for i, h := range headers {
		pairs[i] = [2]string{h.Key, h.Value}
	}
	b, err := json.Marshal(pairs)
	return string(b), err
}

// Decode reads what [Encode] returned; nil for an empty list. The error is
// that of the decoder.
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
