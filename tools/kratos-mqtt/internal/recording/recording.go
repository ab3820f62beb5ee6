// Package recording keeps messages in a file, to publish them again.
package recording

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/message"
)

// Message is one message of a recording, as the broker delivered it.
type Message struct {
	// Time is when it arrived.
	Time time.Time
	message.Message
}

// A recording is a file of JSON values, one a line: the first is a heading, each of the others an
// entry. Entries without the keys that later versions added are complete.

// entry is a message in the file. All but its first fields need MQTT 5.
type entry struct {
	Time     time.Time `json:"time"`
	Topic    string    `json:"topic"`
	Payload  []byte    `json:"payload"` // base64
	QoS      byte      `json:"qos"`
	Retained bool      `json:"retained,omitempty"`

	ContentType     string      `json:"content_type,omitempty"`
	ResponseTopic   string      `json:"response_topic,omitempty"`
	CorrelationData []byte      `json:"correlation_data,omitempty"` // base64
	ExpirySeconds   float64     `json:"expiry_seconds,omitempty"`   // what was left
	Headers         [][2]string `json:"headers,omitempty"`          // names and values
}

// MarshalJSON returns the line of a message.
func (m Message) MarshalJSON() ([]byte, error) {
	e := entry{
		Time: m.Time, Topic: m.Topic, Payload: m.Payload, QoS: m.QoS, Retained: m.Retain, ContentType: m.ContentType,
		ResponseTopic: m.ResponseTopic, CorrelationData: m.CorrelationData, ExpirySeconds: m.Expiry.Seconds(),
	}
	for _, h := range m.Headers {
		e.Headers = append(e.Headers, [2]string{h.Key, h.Value})
	}
	return json.Marshal(e)
}

// UnmarshalJSON reads the line of a message.
func (m *Message) UnmarshalJSON(line []byte) error {
	var e entry
	if err := json.Unmarshal(line, &e); err != nil {
		return err
	}
	*m = Message{e.Time, message.Message{
		Topic: e.Topic, Payload: e.Payload, QoS: e.QoS, Retain: e.Retained, ContentType: e.ContentType,
		ResponseTopic: e.ResponseTopic, CorrelationData: e.CorrelationData, Expiry: time.Duration(e.ExpirySeconds * float64(time.Second)),
	}}
	for _, h := range e.Headers {
		m.Headers = append(m.Headers, message.Header{Key: h[0], Value: h[1]})
	}
	return nil
}

// heading is the first line of a recording.
type heading struct {
	Version int `json:"kratos_mqtt_recording"`
}

const version = 1

// Writer writes a recording. It must not be used concurrently.
type Writer struct {
	file *os.File
	buf  *bufio.Writer
}

// Create creates a recording that only this user can read. An existing file is an error.
func Create(path string) (*Writer, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("%w: want the name of a new file", err)
	}
	if err != nil {
		return nil, err
	}
	w := &Writer{file: f, buf: bufio.NewWriter(f)}
	return w, w.line(heading{Version: version})
}

// Write appends a message. It is in the file after Flush or Close.
func (w *Writer) Write(m Message) error { return w.line(m) }

// Flush writes what is buffered.
func (w *Writer) Flush() error { return w.buf.Flush() }

// Close writes what is buffered and closes the file.
func (w *Writer) Close() error { return errors.Join(w.buf.Flush(), w.file.Close()) }

func (w *Writer) line(v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = w.buf.Write(append(text, '\n'))
	return err
}

// Reader reads a recording. It must not be used concurrently.
type Reader struct {
	file *os.File
	d    *json.Decoder
	n    int
}

// Open opens a recording. Any other file is an error.
func Open(path string) (*Reader, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	r := &Reader{file: f}
	if err := r.Rewind(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return r, nil
}

// Rewind goes back to the first message.
func (r *Reader) Rewind() error {
	if _, err := r.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	r.d, r.n = json.NewDecoder(bufio.NewReader(r.file)), 0
	var h heading
	switch err := r.d.Decode(&h); {
	case err != nil || h.Version == 0:
		return fmt.Errorf("%s is not a recording, want a file of kratos-mqtt record", r.file.Name())
	case h.Version != version:
		return fmt.Errorf("%s is a recording of version %d, want %d", r.file.Name(), h.Version, version)
	}
	return nil
}

// Next returns the next message, or io.EOF. A recording whose writer was killed may end within
// a message, which is io.ErrUnexpectedEOF.
func (r *Reader) Next() (Message, error) {
	var m Message
	err := r.d.Decode(&m)
	if err != nil && !errors.Is(err, io.EOF) {
		err = fmt.Errorf("%s: message %d: %w", r.file.Name(), r.n+1, err)
	}
	r.n++
	return m, err
}

// Close closes the file.
func (r *Reader) Close() error { return r.file.Close() }
