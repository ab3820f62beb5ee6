package console

import (
	"encoding/json"
	"fmt"
	"unicode/utf8"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/decode"
)

// shown is a message in the stream.
type shown struct {
	Seq         uint64      `json:"seq"`
	Time        int64       `json:"time_ms"`
	Direction   string      `json:"direction"`
	Topic       string      `json:"topic"`
	Operation   string      `json:"operation"`
	Filter      string      `json:"filter"`
	QoS         byte        `json:"qos"`
	Retained    bool        `json:"retained"`
	Duplicate   bool        `json:"duplicate"`
	ID          string      `json:"id"`
	ContentType string      `json:"content_type"`
	Headers     [][2]string `json:"headers"`
	Size        int         `json:"size"`
	Decoder     string      `json:"decoder"`
	Text        string      `json:"text"`
	Note        string      `json:"note"`
	Raw         []byte      `json:"raw_base64"` // the first bytes
	Error       string      `json:"error"`
	// Kind is "message", or what became of one: "retry", "dead_letter" or "parked". Letter is
	// the id of its letter.
	Kind    string  `json:"kind"`
	Letter  string  `json:"letter"`
	Attempt int     `json:"attempt"`
	After   float64 `json:"after_ms"`
}

// json returns the message for the page. It is decoded once, on the goroutine of the first page
// that shows it.
func (s *seen) json(d decode.Decoder) []byte {
	s.once.Do(func() {
		text, err := json.Marshal(s.shown(d))
		if err == nil { // there is nothing in it that has no JSON
			s.text = text
		}
	})
	return s.text
}

func (s *seen) shown(d decode.Decoder) *shown {
	m := &shown{
		Seq: s.seq, Time: s.time.UnixMilli(), Direction: s.direction, Topic: s.Topic, Operation: s.Operation, Filter: s.Filter,
		QoS: s.QoS, Size: s.Size, Attempt: s.Attempt, Kind: "message", Error: s.err, Headers: [][2]string{},
	}
	if f := s.fate; f != nil {
		m.Kind, m.Letter, m.After, m.Error = f.kind, f.letter, milliseconds(f.after), textOf(f.err)
		return m
	}
	m.Retained, m.Duplicate, m.ID, m.ContentType = s.message.Retain, s.duplicate, s.id, s.message.ContentType
	m.Raw = s.message.Payload[:min(len(s.message.Payload), maxRaw)]
	for _, h := range s.message.Headers {
		m.Headers = append(m.Headers, [2]string{h.Key, h.Value})
	}
	m.Decoder, m.Text, m.Note = s.decoded(d)
	return m
}

// decoded returns the payload as text, the name of what decoded it, and why nothing better did.
func (s *seen) decoded(d decode.Decoder) (decoder, text, note string) {
	if s.cut {
		whole := s.message.Payload
		for n := 1; n < utf8.UTFMax && !utf8.Valid(whole); n++ {
			whole = whole[:len(whole)-1] // a character may be cut in two
		}
		if utf8.Valid(whole) {
			text = string(whole)
		}
		return decode.Raw, text, fmt.Sprintf("the payload has %d bytes, of which the first %d are shown", s.Size, len(s.message.Payload))
	}
	r := d.Decode(decode.Payload{Bytes: s.message.Payload, ContentType: s.message.ContentType, Operation: s.Operation})
	return r.Decoder, r.Text, r.Note
}
