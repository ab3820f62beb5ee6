package server

import (
	"errors"
	nethttp "net/http"
	"net/http/httptest"
	"testing"

	reportv1 "github.com/kratos-mqtt/kratos-mqtt/api/report/v1"
)

// gone is a client that goes while it is answered.
type gone struct {
	nethttp.ResponseWriter
	headers int
}

func (g *gone) WriteHeader(int) { g.headers++ }
func (g *gone) Write([]byte) (int, error) {
	g.headers++ // net/http does so for the first bytes
	return 0, errors.New("connection reset")
}

// A client that is gone is told nothing more: each one was a line in the log.
func TestAnswerToNobody(t *testing.T) {
	t.Parallel()
	w := &gone{ResponseWriter: httptest.NewRecorder()}
	handler := shares(NewRoom())(nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
		if err := encodeResponse(w, r, new(reportv1.ListReportsReply)); err != nil {
			encodeError(w, r, err)
		}
	}))
	handler.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), nethttp.MethodGet, "/", nil))
	if w.headers != 1 {
		t.Errorf("answered %d times", w.headers)
	}
}
