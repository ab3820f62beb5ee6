package remote

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"path"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	operatorv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/operator/v1"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/bounds"
)

// Path is the path of the methods in HTTP: POST Path + "ListLetters".
const Path = "/kratosmqtt.operator.v1.OperatorService/"

// maxBody is the size of a request in bytes: 10,000 ids, or a payload.
const maxBody = 4 << 20

// Handler returns the service as HTTP with JSON: a POST with the content type application/json for
// each method, whose name is the last part of the path. It may be mounted under any prefix.
// Integers of 64 bits are strings in JSON. An error is a JSON object with code, a gRPC code in
// words, and message.
func (s *Server) Handler() http.Handler { return http.HandlerFunc(s.serve) }

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	reply, err := s.answer(w, r)
	if err != nil {
		refuse(w, err)
		return
	}
	_, _ = w.Write(reply) //nolint:gosec // JSON, which browsers do not take for a page; an error means that the caller has gone
}

// answer calls the method that the path names.
func (s *Server) answer(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return nil, errMethod
	}
	if err := s.guard.HTTP(r); err != nil {
		return nil, err
	}
	name := path.Base(r.URL.Path)
	for _, m := range operatorv1.OperatorService_ServiceDesc.Methods {
		if m.MethodName != name {
			continue
		}
		reply, err := m.Handler(s, r.Context(), func(v any) error { return decode(w, r, v) }, nil)
		if err != nil {
			return nil, err
		}
		message, ok := reply.(proto.Message)
		if !ok {
			return nil, status.Error(codes.Internal, "the reply is not a message")
		}
		return protojson.MarshalOptions{EmitDefaultValues: true, UseProtoNames: true}.Marshal(message)
	}
	return nil, status.Error(codes.NotFound, "no such method")
}

// errMethod is the refusal of everything but POST.
var errMethod = status.Error(codes.Unimplemented, "want POST")

// decode reads the body of a request.
func decode(w http.ResponseWriter, r *http.Request, v any) error {
	message, ok := v.(proto.Message)
	if !ok {
		return status.Error(codes.Internal, "the request is not a message")
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		if _, large := errors.AsType[*http.MaxBytesError](err); large {
			return status.Errorf(codes.ResourceExhausted, "the request is larger than %d bytes", maxBody)
		}
		return status.Error(codes.InvalidArgument, "the request cannot be read")
	}
	if len(body) == 0 {
		return nil
	}
	if err := bounds.Check(bounds.JSON, body, message); err != nil {
		return status.Error(codes.InvalidArgument, err.Error())
	}
	if err := protojson.Unmarshal(body, message); err != nil {
		return status.Error(codes.InvalidArgument, err.Error())
	}
	return nil
}

// refuse writes an error.
func refuse(w http.ResponseWriter, err error) {
	st := status.Convert(err)
	code := codeOf(st)
	switch {
	case errors.Is(err, errMethod):
		code = http.StatusMethodNotAllowed
	case code == http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	body, jsonErr := json.Marshal(map[string]string{"code": st.Code().String(), "message": st.Message()})
	if jsonErr != nil {
		body = []byte("{}")
	}
	w.WriteHeader(code)
	_, _ = w.Write(body) // the caller has gone
}

// codeOf returns the HTTP status of an error of this service: that of Kratos, except for what the
// state of a letter refuses, for a request that is too large, and for one whose caller has gone.
func codeOf(st *status.Status) int {
	switch st.Code() {
	case codes.FailedPrecondition:
		return http.StatusConflict
	case codes.ResourceExhausted:
		return http.StatusRequestEntityTooLarge
	case codes.Canceled:
		return http.StatusInternalServerError
	}
	return event.StatusOf(st.Err()).Code
}
