package server

import (
	"context"
	stderrors "errors"
	"fmt"
	"io"
	"mime"
	nethttp "net/http"
	"os"
	"strings"

	"github.com/go-kratos/kratos/v2/encoding"
	"github.com/go-kratos/kratos/v2/errors"
	"google.golang.org/protobuf/proto"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/bounds"
)

// maxBody bounds the bytes of a request, by HTTP and gRPC: 64 KiB of content with
// the longest JSON escapes, and the other fields of a report.
const maxBody = 512 << 10

// reasonCodec is the reason for requests that cannot be decoded. Kratos uses it too.
const reasonCodec = "CODEC"

// mediaTypes maps the accepted media types to the names of their codecs. A page of
// another site can send forms and plain text without permission, but none of these.
func mediaTypes() map[string]string {
	return map[string]string{
		"application/json":       bounds.JSON,
		"application/protobuf":   bounds.Proto,
		"application/x-protobuf": bounds.Proto,
		"application/proto":      bounds.Proto, // Kratos' own clients
	}
}

// codecOf returns the codec of a Content-Type header, or nil if it is not supported.
func codecOf(header string) encoding.Codec {
	mediaType, _, err := mime.ParseMediaType(header)
	if err != nil {
		return nil
	}
	if name, ok := mediaTypes()[mediaType]; ok {
		return encoding.GetCodec(name)
	}
	return nil
}

type shareKey struct{}

// shares assigns each request a share of the room until it is answered.
func shares(room *Room) func(nethttp.Handler) nethttp.Handler {
	return func(next nethttp.Handler) nethttp.Handler {
		return nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
			s := room.share()
			defer s.giveBack()
			r.Body = nethttp.MaxBytesReader(w, r.Body, maxBody)
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), shareKey{}, s)))
		})
	}
}

func shareOf(ctx context.Context) *share {
	s, _ := ctx.Value(shareKey{}).(*share)
	return s
}

// decodeRequest decodes the body of a request. It accepts only the media types of
// codecOf, applies the bounds of events, and takes its memory from the room.
func decodeRequest(r *nethttp.Request, v any) error {
	if r.ContentLength == 0 { // shares has replaced http.NoBody
		return nil
	}
	codec := codecOf(r.Header.Get("Content-Type"))
	if codec == nil {
		return unsupported("Content-Type is %.100q, want application/json or application/protobuf", r.Header.Get("Content-Type"))
	}
	if encoding := r.Header.Get("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return unsupported("Content-Encoding is %.100q, want none", encoding)
	}
	s := shareOf(r.Context())
	data, err := readBody(r.Body, s)
	if err != nil || len(data) == 0 {
		return err
	}
	if err := bounds.Check(codec.Name(), data, v); err != nil {
		return errors.BadRequest(reasonCodec, err.Error())
	}
	if m, ok := v.(proto.Message); ok {
		if err := s.take(bounds.Memory(len(data), m)); err != nil {
			return err
		}
	}
	if err := codec.Unmarshal(data, v); err != nil {
		return errors.BadRequest(reasonCodec, "body unmarshal "+err.Error())
	}
	return nil
}

func unsupported(format string, args ...any) error {
	return errors.New(nethttp.StatusUnsupportedMediaType, reasonCodec, fmt.Sprintf(format, args...))
}

// firstRead is the size of the buffer before the first byte of a body arrives.
const firstRead = 4 << 10

// readBody reads a body into a buffer that grows with the received bytes, because the
// announced length cannot be trusted.
func readBody(body io.Reader, s *share) ([]byte, error) {
	if err := s.take(firstRead); err != nil {
		return nil, err
	}
	for data := make([]byte, 0, firstRead); ; {
		n, err := body.Read(data[len(data):cap(data)])
		data = data[:len(data)+n]
		switch {
		case err == io.EOF:
			return data, nil
		case err != nil:
			return nil, readError(err)
		case len(data) < cap(data):
			continue
		}
		if err := s.take(2 * cap(data)); err != nil {
			return nil, err
		}
		data = append(make([]byte, 0, 2*cap(data)), data...)
	}
}

func readError(err error) error {
	if large, ok := stderrors.AsType[*nethttp.MaxBytesError](err); ok {
		return errors.New(nethttp.StatusRequestEntityTooLarge, reasonCodec, fmt.Sprintf("body too large, at most %d bytes allowed", large.Limit))
	}
	if stderrors.Is(err, os.ErrDeadlineExceeded) {
		return errors.New(nethttp.StatusRequestTimeout, reasonCodec, "the body did not arrive in time")
	}
	return errors.BadRequest(reasonCodec, err.Error())
}
