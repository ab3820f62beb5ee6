package server

import (
	nethttp "net/http"
	"slices"
	"strings"

	"github.com/go-kratos/kratos/v2/encoding"
	"github.com/go-kratos/kratos/v2/errors"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/bounds"
)

// answerGrows is how many bytes of memory a byte of an answer takes at most, for
// messages that hold texts, where bounds.Memory is far too high: six bytes for a control
// character that JSON escapes, and the message itself.
const answerGrows = 8

// answerMemory returns the most bytes that an answer takes until it is sent.
func answerMemory(m proto.Message) int {
	size := proto.Size(m)
	if holdsValues(m.ProtoReflect().Descriptor(), nil) {
		return bounds.Memory(size, m)
	}
	return answerGrows * size
}

// holdsValues reports whether a message can contain google.protobuf.Value. Each takes
// two bytes encoded and about a hundred in memory.
func holdsValues(md protoreflect.MessageDescriptor, above []protoreflect.FullName) bool {
	if md.FullName() == "google.protobuf.Value" {
		return true
	}
	if slices.Contains(above, md.FullName()) {
		return false
	}
	fields := md.Fields()
	for i := range fields.Len() {
		if inner := fields.Get(i).Message(); inner != nil && holdsValues(inner, append(above, md.FullName())) {
			return true
		}
	}
	return false
}

// accepted returns the codec for the answer to a request: JSON, unless the Accept
// header lists protobuf first.
func accepted(r *nethttp.Request) (codec encoding.Codec, mediaType string) {
	first, _, _ := strings.Cut(r.Header.Get("Accept"), ",")
	if codec := codecOf(first); codec != nil && codec.Name() == bounds.Proto {
		return codec, strings.TrimSpace(first)
	}
	return encoding.GetCodec(bounds.JSON), "application/json"
}

// encodeResponse encodes an answer, with memory from the room.
func encodeResponse(w nethttp.ResponseWriter, r *nethttp.Request, v any) error {
	if m, ok := v.(proto.Message); ok {
		if err := shareOf(r.Context()).take(answerMemory(m)); err != nil {
			return err
		}
	}
	codec, mediaType := accepted(r)
	data, err := codec.Marshal(v)
	if err != nil {
		return err
	}
	describe(w.Header(), mediaType)
	// An error means that the client has disconnected.
	_, _ = w.Write(data) //nolint:gosec // G705: JSON or protobuf, and nosniff is set
	return nil
}

// encodeError encodes an error as Kratos does.
func encodeError(w nethttp.ResponseWriter, r *nethttp.Request, err error) {
	e := errors.FromError(err)
	if e.Reason == reasonBusy {
		w.Header().Set(retryAfterHeader, retryAfterSeconds())
	}
	if unread(e) {
		// Otherwise the server reads the rest of the body before it answers.
		w.Header().Set("Connection", "close")
	}
	codec, mediaType := accepted(r)
	body, err := codec.Marshal(e)
	if err != nil {
		w.WriteHeader(nethttp.StatusInternalServerError)
		return
	}
	describe(w.Header(), mediaType)
	w.WriteHeader(int(e.Code))
	_, _ = w.Write(body) //nolint:gosec // G705, as above; an error means that the client has disconnected
}

// unread reports whether a request was refused before its whole body was read.
func unread(e *errors.Error) bool {
	switch e.Code {
	case nethttp.StatusForbidden, nethttp.StatusMisdirectedRequest, nethttp.StatusUnsupportedMediaType,
		nethttp.StatusRequestEntityTooLarge, nethttp.StatusRequestTimeout:
		return true
	}
	return e.Reason == reasonBusy
}

// describe sets the content type of an answer and forbids the browser to guess another.
func describe(h nethttp.Header, mediaType string) {
	h.Set("Content-Type", mediaType)
	h.Set("X-Content-Type-Options", "nosniff")
}
