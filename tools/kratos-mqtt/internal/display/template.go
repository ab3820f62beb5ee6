package display

import (
	"encoding/hex"
	"io"
	"strings"
	"text/template"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/tools/kratos-mqtt/internal/terminal"
)

// Template shows messages as a template of Go describes. It must not be used concurrently.
type Template struct{ text *template.Template }

// shown is what a template can name. All texts are safe to show.
type shown struct {
	Time                                                      time.Time
	Topic, Operation, Decoder, Note, Payload, ID, ContentType string
	Size, QoS                                                 int
	Retained, Duplicate                                       bool
	Headers                                                   map[string]string

	message *Message
}

// Field returns the value at a path of the payload, such as sensors.co2 or list[0], as JSON,
// a text without quotes, or "" if there is none.
func (s shown) Field(path string) string {
	text := string(leaves(s.message).at[path])
	if strings.HasPrefix(text, `"`) {
		text = unquoted(text)
	}
	return terminal.Printable(text)
}

// NewTemplate returns the template of a text, in which \n and \t are a new line and a tab.
func NewTemplate(text string) (*Template, error) {
	t, err := template.New("format").Parse(strings.NewReplacer(`\n`, "\n", `\t`, "\t").Replace(text))
	if err != nil {
		return nil, err
	}
	if err := t.Execute(io.Discard, shown{message: new(Message)}); err != nil { // unknown names
		return nil, err
	}
	return &Template{t}, nil
}

// Write writes a message and a new line.
func (t *Template) Write(w io.Writer, m *Message) error {
	headers := make(map[string]string, len(m.headers))
	for _, h := range m.headers {
		headers[h.Key] = terminal.Printable(h.Value)
	}
	payload := terminal.Printable(m.text)
	if m.Payload == nil {
		payload = hex.EncodeToString(m.Bytes)
	}
	err := t.text.Execute(w, shown{
		Time: m.Time, Topic: terminal.Printable(m.Topic), Operation: m.Operation, Decoder: m.Decoder, Note: terminal.Printable(m.Note),
		Payload: payload, ID: terminal.Printable(m.ID), ContentType: terminal.Printable(m.ContentType), Size: m.Size, QoS: int(m.QoS),
		Retained: m.Retained, Duplicate: m.Duplicate, Headers: headers, message: m,
	})
	if err == nil {
		_, err = io.WriteString(w, "\n")
	}
	return err
}
