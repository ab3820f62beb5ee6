package faultmatrix_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/internal/test/port"
)

// Row 83: a service that handlers call by HTTP is down: its port is closed, it does not answer, or
// it answers with an error.
func TestFault_83_HTTPDependencyDown(t *testing.T) {
	t.Parallel()
	for name, status := range map[string]int{"refuses": 0, "hangs": hangs, "answers 500": 500, "answers 503": 503} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachVersion(t, func(h *harness) {
				s := h.service()
				s.outage = status
				timeout := time.Duration(0)
				if status == hangs {
					timeout = h.outageTime() / 20
				}
				h.outage(s, timeout)
			})
		})
	}
}

// hangs is the outage of a service that accepts requests and does not answer.
const hangs = -1

// service is a need: an HTTP service.
type service struct {
	h      *harness
	client http.Client
	addr   string // does not change, because handlers read it
	outage int    // status of its answers while it is down; 0 closes its port

	mu   sync.Mutex
	srv  *http.Server
	away bool
	seen []string
}

func (h *harness) service() *service {
	h.Helper()
	s := &service{h: h, addr: port.Address(h), client: http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}}}
	s.listen()
	h.Cleanup(func() {
		s.close()
		s.client.CloseIdleConnections()
	})
	return s
}

// ServeHTTP implements http.Handler.
func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away {
		if s.outage != hangs {
			w.WriteHeader(s.outage)
			return
		}
		s.mu.Unlock()
		<-r.Context().Done()
		s.mu.Lock()
		return
	}
	s.seen = append(s.seen, r.URL.Query().Get("id"))
}

func (s *service) use(ctx context.Context, id string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.addr+"/?id="+id, nil)
	if err != nil {
		return err
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return err
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("status %s", resp.Status)
	}
	return nil
}

func (s *service) down() {
	if s.outage == 0 {
		s.close()
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away = true
}

func (s *service) close() { _ = s.srv.Close() }

func (s *service) up() {
	s.h.Helper()
	if s.outage == 0 {
		s.listen()
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away = false
}

func (s *service) listen() {
	s.h.Helper()
	l, err := net.Listen("tcp", s.addr)
	if err != nil {
		s.h.Fatal(err)
	}
	s.srv = &http.Server{Handler: s}
	go func(srv *http.Server) { _ = srv.Serve(l) }(s.srv)
}

func (s *service) ids() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen
}
