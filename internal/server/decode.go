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

// maxBody bounds a request, in bytes, by HTTP and gRPC alike: 64 KiB of content as
// JSON escapes it at worst, and the rest of a report.
const maxBody = 512 << 10

// reasonCodec is of what cannot be decoded, as Kratos' own.
const reasonCodec = "CODEC"

// mediaTypes are those that are read and written, by the name of their codec. A page of
// another site can send forms and plain text without asking, none of these.
func mediaTypes() map[string]string {
	return map[string]string{
		"application/json":       bounds.JSON,
		"application/protobuf":   bounds.Proto,
		"application/x-protobuf": bounds.Proto,
		"application/proto":      bounds.Proto, // Kratos' own clients
	}
}

// codecOf returns the codec of a media type, nil of another than those two.
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

// shares gives each request a share of the room, until it is answered.
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

// decodeRequest decodes the body of a request, of the two media types only, within
// the bounds that events have, and within the room for it.
func decodeRequest(r *nethttp.Request, v any) error {
	if r.ContentLength == 0 { // shares has put another body in the place of none
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

// firstRead is the memory for a body before any of it has come.
const firstRead = 4 << 10

// readBody reads a body into memory that grows with what comes: a promised length
// is not believed.
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
