// Package column gives the parts of a message the form that columns of a
// database, and members of a JSON text, have.
package column

import (
	"encoding/json"

	"github.com/kratos-mqtt/kratos-mqtt/event/message"
)

// Headers is a JSON text: a list of pairs, which keeps the order, and keys that
// occur again. The error is that of the encoder.
func Headers(headers []message.Header) (string, error) {
	pairs := make([][2]string, len(headers))
	for i, h := range headers {
		pairs[i] = [2]string{h.Key, h.Value}
	}
	b, err := json.Marshal(pairs)
	return string(b), err
}

// ParseHeaders reads what [Headers] gave; nil for an empty list. The error is
// that of the decoder.
func ParseHeaders(text string) ([]message.Header, error) {
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

// Bytes is for a column that knows no NULL.
func Bytes(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
