package server

import (
	"errors"
	nethttp "net/http"
	"net/http/httptest"
	"testing"

	reportv1 "github.com/kratos-mqtt/kratos-mqtt/api/report/v1"
)

// gone is a client that disconnects while it is answered.
type gone struct {
	nethttp.ResponseWriter
	headers int
}

func (g *gone) WriteHeader(int) { g.headers++ }
func (g *gone) Write([]byte) (int, error) {
	g.headers++ // as net/http does before the first bytes
	return 0, errors.New("connection reset")
}

// Nothing more is written to a client that has disconnected. Each one used to cause a
// log line.
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
