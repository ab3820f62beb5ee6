package display

import (
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/decode"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
	"github.com/kratos-mqtt/kratos-mqtt/tools/kratos-mqtt/internal/terminal"
)

// maxShown is how much of a payload is shown as text, in bytes; JSON has all of it.
const maxShown = 16 << 10

// AppendText appends a message as text for people: a line with what is known about it, a line
// for each header, and the payload, or its changes.
func (m *Message) AppendText(b []byte) []byte {
	b = m.Time.AppendFormat(b, "15:04:05.000")
	b = append(b, "  "...)
	b = append(b, terminal.Printable(m.Topic)...)
	b = fmt.Appendf(b, "  qos %d", m.QoS)
	if m.Retained {
		b = append(b, "  retained"...)
	}
	if m.Duplicate {
		b = append(b, "  duplicate"...)
	}
	if m.ID != "" {
		b = append(append(b, "  id "...), terminal.Printable(m.ID)...)
	}
	b = fmt.Appendf(b, "  %d bytes  %s\n", m.Size, terminal.Printable(m.by()))
	for _, h := range m.headers {
		if h.Key != "id" {
			b = append(append(append(append(append(b, "  "...), terminal.Printable(h.Key)...), ": "...), terminal.Printable(h.Value)...), '\n')
		}
	}
	if m.Note != "" {
		b = append(append(append(b, "  note: "...), terminal.Printable(m.Note)...), '\n')
	}
	if m.Same || m.Changes != nil {
		return m.appendChanges(b)
	}
	text := terminal.Printable(logsafe.Cut(m.text, maxShown))
	if m.Decoder == decode.Raw {
		text = hex.EncodeToString(m.Bytes[:min(len(m.Bytes), maxShown/2)])
	}
	if text == "" {
		return append(b, "  (empty)\n"...)
	}
	b = append(append(b, "  "...), text...)
	if more := max(len(m.text)-maxShown, len(m.Bytes)-maxShown/2); more > 0 {
		b = fmt.Appendf(b, "... (%d more; --json shows all)", more)
	}
	return append(b, '\n')
}

// by returns the decoder with the operation behind it.
func (m *Message) by() string {
	if m.Operation == "" {
		return m.Decoder
	}
	return m.Decoder + " by " + m.Operation
}

func (m *Message) appendChanges(b []byte) []byte {
	if m.Same {
		return append(b, "  (same as before)\n"...)
	}
	for _, c := range m.Changes {
		path, before, now := terminal.Printable(c.Path), terminal.Printable(logsafe.Cut(string(c.Old), maxShown)), terminal.Printable(logsafe.Cut(string(c.New), maxShown))
		if path != "" {
			path += ": "
		}
		switch {
		case c.Old == nil:
			b = fmt.Appendf(b, "  + %s%s\n", path, now)
		case c.New == nil:
			b = fmt.Appendf(b, "  - %s%s\n", path, before)
		default:
			b = fmt.Appendf(b, "  ~ %s%s -> %s\n", path, before, now)
		}
	}
	return b
}

// AppendJSON appends a message as a line of JSON.
func (m *Message) AppendJSON(b []byte) ([]byte, error) {
	text, err := json.Marshal(m)
	return append(append(b, terminal.JSON(text)...), '\n'), err
}
