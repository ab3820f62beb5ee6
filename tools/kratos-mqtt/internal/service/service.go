// Package service reaches a running service over HTTP: its operator, its readiness and its
// metrics.
package service

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"syscall"

	"github.com/kratos-mqtt/kratos-mqtt/observe"
	"github.com/kratos-mqtt/kratos-mqtt/operator/remote"
)

// Paths at which the reference service reports about itself.
const (
	readyPath   = "/readyz"
	metricsPath = "/metrics"
)

// Service is a running service. It is safe for concurrent use.
type Service struct {
	// Operator acts on its messages and subscriptions.
	Operator *remote.Client

	client *http.Client
}

// maxAnswer bounds an answer in bytes.
const maxAnswer = 64 << 20

// New returns the service of an operator, which is asked by client for what the operator does
// not know.
func New(operator *remote.Client, client *http.Client) *Service {
	return &Service{Operator: operator, client: client}
}

// Address returns the base URL.
func (s *Service) Address() string { return s.Operator.Address() }

// get returns what is at a path. The token is not sent: it belongs to the operator.
func (s *Service) get(ctx context.Context, path string) (int, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, remote.DefaultTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.Address()+path, nil)
	if err != nil {
		return 0, nil, err
	}
	answer, err := s.client.Do(r)
	if errors.Is(err, syscall.ECONNREFUSED) {
		return 0, nil, fmt.Errorf("nothing listens at %s: the service does not run, or it ended at its start (its log has the reason), or its HTTP server has another address", s.Address())
	}
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer+1))
	if err == nil && len(text) > maxAnswer {
		err = fmt.Errorf("%s%s: the answer has more than %d bytes", s.Address(), path, maxAnswer)
	}
	return answer.StatusCode, text, err
}

// Ready returns the readiness of the service.
func (s *Service) Ready(ctx context.Context) (observe.Report, error) {
	code, text, err := s.get(ctx, readyPath)
	if err != nil {
		return observe.Report{}, err
	}
	var r observe.Report
	if (code != http.StatusOK && code != http.StatusServiceUnavailable) || json.Unmarshal(text, &r) != nil || r.Status == "" {
		return observe.Report{}, fmt.Errorf("%s%s: status %d, want the readiness of package observe", s.Address(), readyPath, code)
	}
	return r, nil
}
